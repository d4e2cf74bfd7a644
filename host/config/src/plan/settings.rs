//! What a component is told: flat names and values, which it reads through its configuration interface. No
//! secret may be among them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{Input, Service, Settings, Text};

/// The settings of one service. What stands at the service takes the place of what its input says.
pub fn of(input: &Input, service: &Service, base_url: String) -> Settings {
    let request = &input.request;
    let filter = request.time_filter.as_ref();
    let known = [
        ("base_url", Some(base_url)),
        ("environment", input.environment.clone()),
        ("initial_start_time_in_utc", service.initial_start_time_in_utc.as_ref().map(|Text(time)| time.clone())),
        ("reset_persistence_auth", service.reset_persistence_auth.as_ref().map(|Text(value)| value.clone())),
        ("types", service.types.as_ref().map(|types| Value::from(types.clone()).to_string())),
        ("obfuscation_data", service.obfuscation_data.as_ref().map(Value::to_string)),
        ("overlap_in_seconds", service.overlap_in_seconds.map(|seconds| seconds.to_string())),
        ("deliver_changes", service.deliver_changes.map(|deliver| deliver.to_string())),
        ("override_devo_tag", service.override_devo_tag.clone()),
        ("request.path", request.path.clone()),
        ("request.page_param", request.page_param.clone()),
        ("request.limit_param", request.limit_param.clone()),
        ("request.limit", request.limit.map(|limit| limit.to_string())),
        ("request.records", request.records.clone()),
        ("request.id", request.id.clone()),
        ("request.time", request.time.clone()),
        ("request.time_filter.param", filter.map(|filter| filter.param.clone())),
        ("request.time_filter.form", filter.and_then(|filter| filter.form.clone())),
    ];
    let known = known.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    // The last word is the host's: a key of the component's own can't take the place of one that was checked.
    let by_name: BTreeMap<_, _> = input.others.iter().chain(&service.others).cloned().chain(known).collect();
    by_name.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_services_word_counts_more_than_the_inputs_and_the_hosts_most() {
        let mut input: Input = serde_json::from_value(json!({"id": 1, "environment": "prod"})).unwrap();
        let mut service = Service::default();
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        input.others = own(&[("region", "eu"), ("poll.limit", "20"), ("base_url", "https://elsewhere")]);
        service.others = own(&[("region", "us")]);
        let expected =
            own(&[("base_url", "https://a"), ("environment", "prod"), ("poll.limit", "20"), ("region", "us")]);
        assert_eq!(of(&input, &service, "https://a".to_owned()), expected);
    }

    #[test]
    fn whether_changes_are_delivered_is_said_where_it_is_set() {
        let input: Input = serde_json::from_value(json!({"id": 1})).unwrap();
        for (service, told) in [(json!({}), None), (json!({"deliver_changes": true}), Some("true"))] {
            let service: Service = serde_json::from_value(service).unwrap();
            let settings = of(&input, &service, "https://a".to_owned());
            let value = settings.iter().find(|(name, _)| name == "deliver_changes").map(|(_, value)| value.as_str());
            assert_eq!(value, told);
        }
    }
}
