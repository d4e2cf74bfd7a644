//! The names of settings, and those of variables.

/// What a platform's variable is called as a setting.
pub fn setting(variable: &str) -> String {
    let nested = [("request_time_filter_", "request.time_filter."), ("request_", "request.")];
    let found = nested.into_iter().find_map(|(from, to)| Some((to, variable.strip_prefix(from)?)));
    found.map_or_else(|| variable.to_owned(), |(to, rest)| format!("{to}{rest}"))
}

/// What a setting is called as a variable.
pub fn variable(setting: &str) -> String {
    setting.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_variable_that_leads_back_to_it() {
        for name in ["base_url", "token", "request.path", "request.page_param", "request.time_filter.form", "devo_url"]
        {
            assert_eq!(setting(&variable(name)), name);
            assert!(variable(name).bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }
}
