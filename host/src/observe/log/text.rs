//! Lines as the original writes them: `2024-02-16T11:55:03.475    INFO InputProcess::MainThread -> text`,
//! with local time, level, and where the line comes from; a hosted tenant's name stands before the process:
//! `acme/InputProcess::...`.

use chrono::{DateTime, Local};

use super::{Facts, Origin};

/// One line, without its end.
pub fn line(time: DateTime<Local>, level: &str, origin: &Origin, facts: &Facts) -> String {
    let Origin { tenant, process, thread, .. } = origin;
    let time = time.format("%Y-%m-%dT%H:%M:%S%.3f");
    let tenant = tenant.as_deref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
    format!("{time} {level:>7} {tenant}{process}::{thread} -> {}", facts.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_stands_before_the_process() {
        let facts = Facts { message: "Pull Started".to_owned(), ..Facts::default() };
        let written = |tenant: Option<&str>| {
            let origin = Origin { tenant: tenant.map(Into::into), ..Origin::default() };
            let line = line(DateTime::UNIX_EPOCH.into(), "INFO", &origin, &facts);
            line.split_once(' ').unwrap().1.to_owned()
        };
        assert_eq!(written(None), "   INFO MainProcess::MainThread -> Pull Started");
        assert_eq!(written(Some("acme")), "   INFO acme/MainProcess::MainThread -> Pull Started");
    }
}
