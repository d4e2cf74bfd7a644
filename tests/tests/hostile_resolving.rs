//! Names that never resolve, in tenants beside others whose names do; and names that lead elsewhere at the
//! next look-up. A name server of our own answers, in a network and with a `resolv.conf` that nobody else
//! has.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::HashMap;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use sandbox::PATIENCE;
use sandbox::folder::Folder;
use sandbox::hosting::{Hosting, begins, wait_for_more_cycles};
use sandbox::stage::Stage;

/// Set within the network of our own.
const INSIDE: &str = "INSIDE_A_NETWORK_OF_ITS_OWN";

/// More than the look-ups that the system's resolver may be asked for at once, by two of each tenant.
const ATTACKERS: usize = 120;

/// Runs a test of this file once more in a network of its own, where it may be a name server, and where a
/// look-up without an answer takes minutes.
fn in_a_network_of_its_own(test: &str, statement: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return statement();
    }
    let folder = Folder::new("resolving").unwrap();
    let file = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n");
    file("nsswitch.conf", "hosts: files dns\n");
    file("hosts", "127.0.0.1 localhost\n");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-ec"]);
    command.arg(
        "ip link set lo up
        for file in resolv.conf nsswitch.conf hosts; do mount --bind \"$1/$file\" \"/etc/$file\"; done
        exec \"$2\" --exact \"$3\" --nocapture",
    );
    command.arg("sh").arg(folder.path()).arg(std::env::current_exe().unwrap()).arg(test);
    let status = command.env(INSIDE, "").status();
    let status = status.expect("unshare (util-linux) is needed, and a kernel that lets users make namespaces");
    assert!(status.success(), "{status}");
}

/// A name server that answers for names below `answering.test`, with the next of the addresses that a name
/// has left, or with this machine's; and for no other.
#[derive(Clone)]
struct NameServer(Arc<Mutex<HashMap<String, Vec<[u8; 4]>>>>);

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let server = Self(Arc::default());
        let shared = server.clone();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                if let Some(answer) = shared.answer(&query[..length]) {
                    socket.send_to(&answer, client).unwrap();
                }
            }
        });
        server
    }

    /// From now on the name leads to these addresses, one after the other, and stays at the last.
    fn leads(&self, name: &str, addresses: &[[u8; 4]]) {
        self.0.lock().unwrap().insert(name.to_owned(), addresses.to_vec());
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut labels, mut at) = (Vec::new(), 12);
        while query[at] != 0 {
            let length = usize::from(query[at]);
            labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_ascii_lowercase());
            at += length + 1;
        }
        let (name, kind) = (labels.join("."), query[at + 2]);
        if !name.ends_with(".answering.test") {
            return None;
        }
        let is_ipv4 = kind == 1;
        let mut answer = [&query[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]].concat();
        answer.extend(&query[12..at + 5]);
        if is_ipv4 {
            let mut leads = self.0.lock().unwrap();
            let addresses = leads.entry(name).or_insert_with(|| vec![[127, 0, 0, 1]]);
            let address = if addresses.len() > 1 { addresses.remove(0) } else { addresses[0] };
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend(address);
        }
        Some(answer)
    }
}

/// A tenant whose output is found by this name.
fn with_output_at(hosting: &Hosting, name: &str, address: &str) -> Stage {
    let prepare = |stage: &mut Stage| {
        stage.settings.address = address.to_owned();
        stage.settings.output += "verify_hostname: false\nconnecting_retries: 0\n";
        stage.configure()
    };
    hosting.add_prepared(name, 10, prepare).unwrap()
}

/// A tenant none of whose names ever resolves.
fn add_attacker(hosting: &Hosting, like: &Stage, number: usize) {
    let mut settings = like.settings.clone();
    settings.base_url = format!("https://api-{number}.silent.test");
    settings.address = format!("devo-{number}.silent.test");
    let product = hosting.product(&format!("attacker-{number}"));
    let made = hosting.tenants().join(format!(".attacker-{number}"));
    for folder in ["certs", "config", "state"] {
        std::fs::create_dir_all(made.join(folder)).unwrap();
    }
    for file in std::fs::read_dir(like.installation.certs()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), made.join("certs").join(file.file_name())).unwrap();
    }
    std::fs::write(made.join("config/config.yaml"), settings.yaml()).unwrap();
    std::fs::rename(made, product).unwrap();
}

#[test]
fn names_that_never_resolve_hold_up_nobody() {
    in_a_network_of_its_own("names_that_never_resolve_hold_up_nobody", || {
        let _names = NameServer::start();
        let hosting = Hosting::new("resolving").unwrap();
        let neighbour = with_output_at(&hosting, "neighbour", "devo.answering.test");
        (0..ATTACKERS).for_each(|number| add_attacker(&hosting, &neighbour, number));
        let collector = hosting.start().unwrap();
        neighbour.wait_for_all(&collector).unwrap();
        for number in 0..ATTACKERS {
            let told = [&*format!(" attacker-{number}/"), "did not answer", "silent.test"];
            collector.wait_for_complaint(&told).unwrap();
        }
        let late = with_output_at(&hosting, "late", "late.answering.test");
        late.wait_for_all(&collector).unwrap();
        for name in ["neighbour", "late"] {
            wait_for_more_cycles(&collector, name, 3).unwrap();
            assert_eq!(begins(&collector, name), 1);
        }
        assert_eq!(collector.stop(PATIENCE).unwrap().code(), Some(0));
        assert_eq!(collector.lines_with(&["All tenants have stopped"]).len(), 1, "a stop waits for none of them");
    });
}

#[test]
fn a_name_that_leads_elsewhere_at_the_next_look_up_is_checked_each_time() {
    in_a_network_of_its_own("a_name_that_leads_elsewhere_at_the_next_look_up_is_checked_each_time", || {
        let names = NameServer::start();
        let hosting = Hosting::new("turning").unwrap();
        hosting.decide("egress: {allow_private_addresses: true, deny_networks: [127.0.0.9]}\n").unwrap();
        let mut turning = with_output_at(&hosting, "turning", "turning.answering.test");
        let collector = hosting.start().unwrap();
        turning.wait_for_all(&collector).unwrap();
        names.leads("turning.answering.test", &[[127, 0, 0, 9]]);
        turning.add_newer(5);
        collector.wait_for_complaint(&[" turning/", "127.0.0.9", "a denied address"]).unwrap();
        names.leads("turning.answering.test", &[[127, 0, 0, 1]]);
        turning.wait_for_all(&collector).unwrap();
    });
}
