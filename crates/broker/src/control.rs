//! Requests to the broker itself: `$CONTROL/broker/v1`.
//!
//! ```text
//! {"commands":[{"command":"listListeners","correlationData":"x"}]}
//! {"responses":[{"command":"listListeners","data":{"listeners":[…]},"correlationData":"x"}]}
//! ```

use crate::limits::CONTROL_COMMANDS_MAX;
use crate::log::Log;
use grovemq_config::{Config, Protocol};
use grovemq_core::Request;
use serde::Serialize;
use serde_json::Value;

pub(crate) const TOPIC: &str = "$CONTROL/broker/v1";
pub(crate) const RESPONSE_TOPIC: &str = "$CONTROL/broker/v1/response";

/// A listener as `listListeners` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Listed {
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_path: Option<String>,
    tls: bool,
}

/// The listeners of a configuration, in its order.
pub(crate) fn listed(config: &Config) -> Vec<Listed> {
    let list = config.listeners.iter().map(|l| Listed {
        port: l.port,
        protocol: match l.protocol {
            Protocol::Mqtt => Some("mqtt"),
            Protocol::Websockets => Some("mqtt+websockets"),
            Protocol::Coap => Some("coap"),
            Protocol::HttpApi => None,
        },
        bind_address: l.host.clone(),
        socket_path: l.unix_path.as_ref().map(|path| path.display().to_string()),
        tls: l.tls.is_on(),
    });
    list.collect()
}

#[derive(Serialize)]
struct Answer<'a> {
    responses: Vec<Response<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Data<'a> {
    /// There are none that could be listed.
    Plugins([(); 0]),
    Listeners(&'a [Listed]),
}

/// The payload of the response.
pub(crate) fn answer(request: &Request, listeners: &[Listed], log: &Log) -> Vec<u8> {
    let payload: Result<Value, _> = serde_json::from_slice(&request.payload);
    let responses = match payload.as_ref().map(|p| p.get("commands").and_then(Value::as_array)) {
        Err(_) => vec![failure(UNKNOWN, "Payload not valid JSON", None)],
        Ok(None) => vec![failure(UNKNOWN, "Invalid/missing commands", None)],
        Ok(Some(commands)) => obey(request, commands, listeners, log),
    };
    serde_json::to_vec(&Answer { responses }).unwrap_or_default()
}

/// What a command is called in an answer to something that has no name.
const UNKNOWN: &str = "Unknown command";

/// One response to each command, up to the first that is none.
fn obey<'a>(
    request: &Request,
    commands: &'a [Value],
    listeners: &'a [Listed],
    log: &Log,
) -> Vec<Response<'a>> {
    let mut responses = Vec::new();
    for command in commands {
        if responses.len() == CONTROL_COMMANDS_MAX {
            responses.push(failure(UNKNOWN, "Too many commands", None));
            break;
        }
        let response = if command.is_object() {
            obey_one(request, command, listeners, log)
        } else {
            Err((UNKNOWN, "Command not an object"))
        };
        match response {
            Ok(response) => responses.push(response),
            Err((name, error)) => {
                responses.push(failure(name, error, None));
                break;
            }
        }
    }
    responses
}

fn obey_one<'a>(
    request: &Request,
    command: &'a Value,
    listeners: &'a [Listed],
    log: &Log,
) -> Result<Response<'a>, (&'a str, &'static str)> {
    let name = command.get("command").and_then(Value::as_str).ok_or((UNKNOWN, "Missing command"))?;
    let correlation_data = match command.get("correlationData") {
        None => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return Err((name, "Invalid correlationData data type.")),
    };
    let (command, data) = if name.eq_ignore_ascii_case("listPlugins") {
        ("listPlugins", Data::Plugins([]))
    } else if name.eq_ignore_ascii_case("listListeners") {
        ("listListeners", Data::Listeners(listeners))
    } else {
        return Ok(failure(name, "Unknown command", correlation_data));
    };
    let user = request.username.as_deref().unwrap_or_default();
    log.info(format!("Broker: {}/{user} | {command}", request.client_id));
    Ok(Response { command, error: None, data: Some(data), correlation_data })
}

fn failure<'a>(command: &'a str, error: &'static str, correlation_data: Option<&'a str>) -> Response<'a> {
    Response { command, error: Some(error), data: None, correlation_data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn ask(configuration: &str, payload: &str) -> String {
        let (config, _) = Config::from_text(configuration, Path::new("t")).unwrap();
        let log = Log::start(&grovemq_config::Log { dest: Vec::new(), ..config.log.clone() }).unwrap();
        let request = Request {
            client_id: "id".into(),
            username: None,
            topic: TOPIC.into(),
            payload: payload.as_bytes().into(),
        };
        String::from_utf8(answer(&request, &listed(&config), &log)).unwrap()
    }

    #[test]
    fn lists_in_the_originals_form() {
        let config = "listener 1883\nlistener 1884 localhost\n";
        let request =
            r#"{"commands":[{"command":"LISTlisteners","correlationData":"c"},{"command":"listPlugins"}]}"#;
        let expected = concat!(
            r#"{"responses":[{"command":"listListeners","data":{"listeners":["#,
            r#"{"port":1883,"protocol":"mqtt","tls":false},"#,
            r#"{"port":1884,"protocol":"mqtt","bind-address":"localhost","tls":false}]},"correlationData":"c"},"#,
            r#"{"command":"listPlugins","data":{"plugins":[]}}]}"#
        );
        assert_eq!(ask(config, request), expected);
    }

    #[test]
    fn errors_in_the_originals_words() {
        for (payload, name, error) in [
            ("not valid json", UNKNOWN, "Payload not valid JSON"),
            ("", UNKNOWN, "Payload not valid JSON"),
            ("{}", UNKNOWN, "Invalid/missing commands"),
            ("7", UNKNOWN, "Invalid/missing commands"),
            (r#"{"commands":{}}"#, UNKNOWN, "Invalid/missing commands"),
            (r#"{"commands":["command"]}"#, UNKNOWN, "Command not an object"),
            (r#"{"commands":[{}]}"#, UNKNOWN, "Missing command"),
            (r#"{"commands":[{"command":7},{"command":"x"}]}"#, UNKNOWN, "Missing command"),
            (r#"{"commands":[{"command":"unknown command"}]}"#, "unknown command", "Unknown command"),
            (
                r#"{"commands":[{"command":"listListeners","correlationData":true}]}"#,
                "listListeners",
                "Invalid correlationData data type.",
            ),
        ] {
            let expected = format!(r#"{{"responses":[{{"command":"{name}","error":"{error}"}}]}}"#);
            assert_eq!(ask("", payload), expected, "{payload}");
        }
        assert_eq!(ask("", r#"{"commands":[]}"#), r#"{"responses":[]}"#);
    }

    #[test]
    fn a_request_cannot_ask_for_an_endless_answer() {
        let commands = vec![r#"{"command":"listListeners"}"#; 5000].join(",");
        let answer = ask("", &format!(r#"{{"commands":[{commands}]}}"#));
        assert_eq!(answer.matches("listeners").count(), CONTROL_COMMANDS_MAX);
        assert!(answer.contains("Too many commands"));
    }
}
