//! Wanted against running: what a look at a tenant's folder means for the tenant. Pure: what was known, what
//! is there now, what is to be done.

use collector_config::{ConfigError, Fingerprint, Plan};

/// What a look found.
#[derive(Debug)]
pub enum Look {
    /// There is no such tenant.
    Gone,
    /// The files are as they were when they were last looked at.
    Unchanged,
    /// There is a configuration that was not looked at before.
    Changed(Configuration),
}

/// A tenant's configuration at one moment.
#[derive(Debug)]
pub struct Configuration {
    /// What it asks for, or why it can't be used.
    pub plan: Result<Box<Plan>, ConfigError>,
    /// Of the files that it consists of.
    pub fingerprint: Fingerprint,
}

/// What is known of a tenant's configurations.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Known {
    /// The one that runs: the last good one.
    pub running: Option<Fingerprint>,
    /// The one that was seen after it and can't be used.
    pub broken: Option<Fingerprint>,
}

impl Known {
    /// The files as they were last looked at.
    pub fn latest(&self) -> Option<&Fingerprint> {
        self.broken.as_ref().or(self.running.as_ref())
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Nothing: it is as before.
    Unchanged,
    /// It is new, or could not be started before.
    Start(Box<Plan>),
    /// It takes the place of one that runs.
    Restart(Box<Plan>),
    /// It is the one that runs, again: what was wrong has been taken back.
    Reverted,
    /// It can't be used; the one before, if there is any, runs on.
    Refuse(ConfigError),
    /// The tenant is gone.
    Stop,
}

/// What a look means for a tenant of which this is known, and what is known afterwards.
pub fn decide(known: Known, look: Look) -> (Known, Action) {
    let Configuration { plan, fingerprint } = match look {
        Look::Unchanged => return (known, Action::Unchanged),
        Look::Gone => return (Known::default(), Action::Stop),
        Look::Changed(configuration) => configuration,
    };
    match plan {
        Err(error) => (Known { broken: Some(fingerprint), ..known }, Action::Refuse(error)),
        Ok(_) if known.running.as_ref() == Some(&fingerprint) => (Known { broken: None, ..known }, Action::Reverted),
        Ok(plan) => {
            let action = if known.running.is_some() { Action::Restart(plan) } else { Action::Start(plan) };
            (Known { running: Some(fingerprint), broken: None }, action)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use collector_config::Cause;
    use collector_config::Files;
    use collector_config::Policy;
    use collector_config::Source;
    use collector_files::Root;
    use collector_model::TenantName;

    /// Fingerprints of files with different contents.
    fn fingerprints() -> [Fingerprint; 3] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir_all(folder.join("config")).unwrap();
        let fingerprint = |text: &str| {
            std::fs::write(folder.join("config/config.yaml"), text).unwrap();
            let files = Files::within(Root::confined(folder).unwrap(), TenantName::new("acme").unwrap()).unwrap();
            let _ = collector_config::read_tenant(&files, &Policy::hosted());
            files.fingerprint()
        };
        ["a", "b", "c"].map(fingerprint)
    }

    fn good(fingerprint: &Fingerprint) -> Look {
        let document = json!({
            "outputs": {"a": {"type": "syslog", "config": {"address": "relay.example.com", "port": 1}}},
            "inputs": {"a": {"id": 1, "base_url": "https://a.example.com", "token": "t", "services": {"alerts": {}}}},
        });
        let document = serde_json::from_value(document).unwrap();
        let source = Source { document, files: Files::anywhere(".".into()), warnings: Vec::new() };
        let plan = Plan::new(source, &Policy::hosted()).map(Box::new);
        Look::Changed(Configuration { plan, fingerprint: fingerprint.clone() })
    }

    fn bad(fingerprint: &Fingerprint) -> Look {
        let plan = Err(Cause::KeyMissing("outputs".to_owned()).remedy("Add it."));
        Look::Changed(Configuration { plan, fingerprint: fingerprint.clone() })
    }

    #[test]
    fn a_tenant_is_started_changed_and_stopped() {
        let [one, two, _] = fingerprints();
        let (known, action) = decide(Known::default(), good(&one));
        assert!(matches!(action, Action::Start(_)));
        let (known, action) = decide(known, Look::Unchanged);
        assert!(matches!(action, Action::Unchanged));
        let (known, action) = decide(known, good(&two));
        assert!(matches!(action, Action::Restart(_)));
        assert_eq!(known.latest(), Some(&two));
        let (known, action) = decide(known, Look::Gone);
        assert!(matches!(action, Action::Stop));
        assert_eq!(known, Known::default());
    }

    #[test]
    fn a_broken_configuration_leaves_the_last_good_one_running() {
        let [one, two, three] = fingerprints();
        let (known, _) = decide(Known::default(), good(&one));
        let (known, action) = decide(known, bad(&two));
        assert!(matches!(action, Action::Refuse(_)));
        assert_eq!((known.running.as_ref(), known.latest()), (Some(&one), Some(&two)));
        let (reverted, action) = decide(known.clone(), good(&one));
        assert!(matches!(action, Action::Reverted));
        assert_eq!(reverted.latest(), Some(&one));
        let (mended, action) = decide(known, good(&three));
        assert!(matches!(action, Action::Restart(_)));
        assert_eq!(mended.latest(), Some(&three));
    }

    #[test]
    fn a_tenant_that_is_broken_from_the_start_is_started_when_it_is_mended() {
        let [one, two, _] = fingerprints();
        let (known, action) = decide(Known::default(), bad(&one));
        assert!(matches!(action, Action::Refuse(_)));
        assert_eq!(known.running, None);
        assert!(matches!(decide(known, good(&two)).1, Action::Start(_)));
    }
}
