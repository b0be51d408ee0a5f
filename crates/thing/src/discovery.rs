//! How Home Assistant finds the resources: one retained message for each, by its MQTT discovery.

use grovemq_client::{Message, topic};
use serde_json::{Map, Value as Json, json};

use crate::config::{Digital, Input, Measure, Output, Payload, System};
use crate::plan::{Plan, PlannedActuator, PlannedSensor};

/// The value inside of a JSON message.
const INNER: &str = "{{ value_json.value }}";
/// The thing is there even if one of its resources fails.
const PRESENT: &str = "{{ 'offline' if value == 'offline' else 'online' }}";
const TEXT_CHARS_MAX: u32 = 255;

/// The messages that introduce all resources; none if Home Assistant is not asked for.
pub(crate) fn messages(plan: &Plan) -> Vec<Message> {
    let Some(prefix) = &plan.discovery else { return Vec::new() };
    let node = identifier(&plan.client_id);
    let sensors = plan.sensors.iter().map(|sensor| (&sensor.sensor.name, of_sensor(sensor)));
    let actuators =
        plan.actuators.iter().filter_map(|planned| Some((&planned.actuator.name, of_actuator(planned)?)));
    sensors
        .chain(actuators)
        .map(|(name, (component, mut about))| {
            let name_id = identifier(name);
            about.insert("name".to_owned(), json!(name));
            about.insert("unique_id".to_owned(), json!(format!("{node}_{name_id}")));
            about.insert("availability_topic".to_owned(), json!(plan.availability));
            about.insert("availability_template".to_owned(), json!(PRESENT));
            about.insert(
                "device".to_owned(),
                json!({
                    "identifiers": [node],
                    "name": plan.client_id,
                    "manufacturer": "GroveMQ",
                    "sw_version": env!("CARGO_PKG_VERSION"),
                }),
            );
            let topic = format!("{prefix}/{component}/{node}/{name_id}/config");
            Message::new(topic, Json::Object(about).to_string()).retain(true)
        })
        .collect()
}

/// Letters, digits, `_` and `-`: no more is allowed in discovery topics.
fn identifier(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn of_sensor(planned: &PlannedSensor) -> (&'static str, Map<String, Json>) {
    let sensor = &planned.sensor;
    let mut about = Map::new();
    let mut set = |key: &str, value: Json| drop(about.insert(key.to_owned(), value));
    set("state_topic", json!(planned.topic));
    if sensor.payload == Payload::Json {
        set("value_template", json!(INNER));
    }
    if let Some(class) = device_class(&sensor.input) {
        set("device_class", json!(class));
    }
    if matches!(sensor.input, Input::Digital { .. } | Input::Gpio(_)) {
        set("payload_on", json!("True"));
        set("payload_off", json!("False"));
        return ("binary_sensor", about);
    }
    if let Some(unit) = &sensor.unit {
        set("unit_of_measurement", json!(unit));
        set("state_class", json!("measurement"));
    }
    ("sensor", about)
}

/// The names by which Home Assistant knows what is measured.
fn device_class(input: &Input) -> Option<&'static str> {
    Some(match input {
        Input::Digital { sense: Digital::Motion, .. } => "motion",
        Input::Temperature { .. }
        | Input::Dht { measure: Measure::Temperature, .. }
        | Input::System(System::CpuTemperature) => "temperature",
        Input::Dht { measure: Measure::Humidity, .. } => "humidity",
        Input::Distance(_) => "distance",
        Input::System(System::Uptime) => "duration",
        _ => return None,
    })
}

/// `None` for one that follows no single topic which could be published to.
fn of_actuator(planned: &PlannedActuator) -> Option<(&'static str, Map<String, Json>)> {
    let command = planned.filters.iter().find(|filter| topic::validate_name(filter).is_ok())?;
    let is_json = planned.actuator.payload == Payload::Json;
    let mut about = Map::new();
    let mut set = |key: &str, value: Json| drop(about.insert(key.to_owned(), value));
    set("command_topic", json!(command));
    let is_number = planned.actuator.rule.threshold.is_some();
    let range = match planned.actuator.output {
        Output::Switch(_) | Output::Gpio(_) if !is_number => {
            set("payload_on", json!(if is_json { r#"{"value":true}"# } else { "True" }));
            set("payload_off", json!(if is_json { r#"{"value":false}"# } else { "False" }));
            return Some(("switch", about));
        }
        Output::Switch(_) | Output::Gpio(_) => (-10_000.0, 10_000.0),
        Output::DimmedLed(_) => (0.0, 1023.0),
        Output::LedBar { .. } => (0.0, 10.0),
        Output::FourDigit { .. } => (-999.0, 9999.0),
        Output::Chain { .. } | Output::Lcd | Output::LcdLight | Output::Command(_) => {
            if is_json {
                set("command_template", json!(r#"{"value":{{ value | tojson }}}"#));
            }
            set("max", json!(TEXT_CHARS_MAX));
            return Some(("text", about));
        }
    };
    let (low, high) = planned.actuator.rule.from.unwrap_or(range);
    set("min", json!(low.min(high)));
    set("max", json!(low.max(high)));
    set("command_template", json!(if is_json { r#"{"value":{{ value }}}"# } else { "{{ value | int }}" }));
    Some(("number", about))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::topic::tests::place;

    fn introduced(text: &str) -> Vec<(String, Json)> {
        let config = Config::parse(text, "test").unwrap();
        let messages = messages(&Plan::new(config, &place("127.0.0.2")).unwrap());
        assert!(messages.iter().all(|message| message.retain));
        let json = |message: &Message| serde_json::from_slice(&message.payload).unwrap();
        messages.iter().map(|message| (message.topic.clone(), json(message))).collect()
    }

    #[test]
    fn nothing_is_said_unasked() {
        assert!(introduced("").is_empty());
        assert!(introduced("[home_assistant]\ndiscovery = false").is_empty());
    }

    #[test]
    fn the_default_thing_is_introduced() {
        let all = introduced("[home_assistant]\nprefix = 'ha'\n[broker]\nclient_id = 'desk.7'");
        let topics: Vec<_> = all.iter().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(
            topics,
            [
                "ha/binary_sensor/desk_7/button0/config",
                "ha/sensor/desk_7/potentiometer0/config",
                "ha/sensor/desk_7/clock0/config",
                "ha/switch/desk_7/led0/config",
                "ha/number/desk_7/led1/config",
            ]
        );
        let button = &all[0].1;
        assert_eq!(button["state_topic"], "127.0.0.2/sensors/button0");
        assert_eq!(button["payload_on"], "True");
        assert_eq!(button["unique_id"], "desk_7_button0");
        assert_eq!(button["availability_topic"], "127.0.0.2/availability");
        assert_eq!(button["device"]["identifiers"], json!(["desk_7"]));
        assert_eq!(all[4].1["command_topic"], "127.0.0.2/sensors/potentiometer0");
        assert_eq!(all[4].1["max"], 1023.0);
    }

    #[test]
    fn units_classes_and_json_are_told() {
        let all = introduced(
            "[home_assistant]\n[[sensor]]\nkind='dht22'\nname='t'\npin='D7'\npayload='json'\n\
             [[actuator]]\nkind='relay'\nname='r'\npin='D2'\npayload='json'\nsubscribe=['+/x','fan']\n\
             [[actuator]]\nkind='led'\nname='l'\npin='D3'\nsubscribe=['+/x']\n",
        );
        assert_eq!(all.len(), 2, "an LED that follows wildcards only cannot be asked");
        assert_eq!(all[0].1["device_class"], "temperature");
        assert_eq!(all[0].1["unit_of_measurement"], "°C");
        assert_eq!(all[0].1["value_template"], INNER);
        assert_eq!(all[1].1["command_topic"], "fan");
        assert_eq!(all[1].1["payload_on"], r#"{"value":true}"#);
    }
}
