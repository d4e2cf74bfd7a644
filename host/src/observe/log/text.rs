//! Lines as the original writes them: `2024-02-16T11:55:03.475    INFO InputProcess::MainThread -> text`,
//! with local time, level, and where the line comes from; a hosted tenant's name stands before the process:
//! `acme/InputProcess::...`.

use std::fmt::{self, Write};

use chrono::{DateTime, Local};

use super::{Facts, Origin};

/// Writes one line.
pub fn write(
    writer: &mut impl Write,
    time: DateTime<Local>,
    level: &str,
    origin: &Origin,
    facts: &Facts,
) -> fmt::Result {
    let Origin { tenant, process, thread, .. } = origin;
    // Whatever was quoted in it must not look like another line.
    let message = facts.message.replace(char::is_control, " ");
    write!(writer, "{} {level:>7} ", time.format("%Y-%m-%dT%H:%M:%S%.3f"))?;
    if let Some(tenant) = tenant {
        write!(writer, "{tenant}/")?;
    }
    writeln!(writer, "{process}::{thread} -> {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_with_the_tenant_before_the_process() {
        let facts = Facts { message: "quoted: \n2024 ERROR".to_owned(), ..Facts::default() };
        let written = |tenant: Option<&str>| {
            let mut text = String::new();
            let origin = Origin { tenant: tenant.map(Into::into), ..Origin::default() };
            write(&mut text, DateTime::UNIX_EPOCH.into(), "INFO", &origin, &facts).unwrap();
            text.split_once(' ').unwrap().1.to_owned()
        };
        assert_eq!(written(None), "   INFO MainProcess::MainThread -> quoted:  2024 ERROR\n");
        assert_eq!(written(Some("acme")), "   INFO acme/MainProcess::MainThread -> quoted:  2024 ERROR\n");
    }
}
