//! What a broker answers, in words.

use crate::json::Json;
use std::fmt::Write as _;

/// Why an answer is no good news: the line to show.
pub(super) type Complaint = String;

/// The entry of an answer that is about this command, if it is there.
pub(super) fn find<'a>(answer: &'a Json, command: &str, correlation: Option<&str>) -> Option<&'a Json> {
    let is_it = |response: &&Json| {
        let about = response.get("command").and_then(Json::shown);
        let ours = response.get("correlationData").and_then(Json::shown);
        match (correlation, ours) {
            (Some(expected), Some(ours)) => ours == expected,
            // a broker that cannot make out the command cannot name it
            _ => about.as_deref() == Some(command) || response.get("error").is_some(),
        }
    };
    answer.get("responses")?.items().iter().find(is_it)
}

/// The text for standard output.
pub(super) fn show(command: &str, response: &Json) -> Result<String, Complaint> {
    if let Some(error) = response.get("error") {
        return Err(format!("{command}: Error: {}", error.shown().unwrap_or_default()));
    }
    let mut out = String::new();
    let show: fn(&Json, &mut String) -> Option<()> = match command {
        "listClients" => |data, out| list(data.get("clients")?, "username", out),
        "listGroups" => |data, out| list(data.get("groups")?, "groupname", out),
        "listRoles" => |data, out| list(data.get("roles")?, "rolename", out),
        "getClient" => |data, out| client(data.get("client")?, out),
        "getGroup" => |data, out| group(data.get("group")?, out),
        "getRole" => |data, out| role(data.get("role")?, out),
        "getDefaultACLAccess" => |data, out| default_access(data.get("acls")?, out),
        "getAnonymousGroup" => |data, out| {
            let name = data.get("group")?.get("groupname").and_then(Json::shown).unwrap_or_default();
            line(out, &name)
        },
        "listListeners" => |data, out| listeners(data.get("listeners")?, out),
        "listPlugins" => |data, out| plugins(data.get("plugins")?, out),
        _ => return Ok(out),
    };
    match response.get("data").map(|data| show(data, &mut out)) {
        Some(Some(())) => Ok(out),
        Some(None) => Err("Error: Invalid response from server.".to_owned()),
        None => Err("Error: Payload missing data.".to_owned()),
    }
}

/// The names of an answer that lists them, for completion.
pub(super) fn names(command: &str, response: &Json) -> Vec<String> {
    show(command, response).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn line(out: &mut String, text: &str) -> Option<()> {
    writeln!(out, "{text}").ok()
}

/// Names, or objects with a name.
fn list(items: &Json, name: &str, out: &mut String) -> Option<()> {
    for item in items.items() {
        let shown = item.shown().or_else(|| item.get(name)?.shown());
        line(out, &shown?)?;
    }
    Some(())
}

fn client(client: &Json, out: &mut String) -> Option<()> {
    line(out, &format!("Username: {}", client.get("username")?.shown()?))?;
    match client.get("clientid").and_then(Json::shown) {
        Some(id) => line(out, &format!("Clientid: {id}"))?,
        None => line(out, "Clientid:")?,
    }
    if let Some(Json::Bool(disabled)) = client.get("disabled") {
        line(out, &format!("Disabled: {disabled}"))?;
    }
    ranked(client.get("roles"), "Roles:   ", "rolename", out)?;
    ranked(client.get("groups"), "Groups:  ", "groupname", out)
}

fn group(group: &Json, out: &mut String) -> Option<()> {
    line(out, &format!("Groupname: {}", group.get("groupname")?.shown()?))?;
    ranked(group.get("roles"), "Roles:    ", "rolename", out)?;
    let mut label = "Clients:   ";
    for client in group.get("clients").map_or(&[][..], Json::items) {
        line(out, &format!("{label}{}", client.get("username")?.shown()?))?;
        label = "           ";
    }
    Some(())
}

fn role(role: &Json, out: &mut String) -> Option<()> {
    line(out, &format!("Rolename: {}", role.get("rolename")?.shown()?))?;
    let mut label = "ACLs:    ";
    for acl in role.get("acls").map_or(&[][..], Json::items) {
        let kind = acl.get("acltype")?.shown()?;
        let topic = acl.get("topic")?.shown()?;
        let allow = if acl.get("allow") == Some(&Json::Bool(true)) { "allow" } else { "deny " };
        line(out, &format!("{label} {kind:20} : {allow} : {topic}{}", priority(acl)))?;
        label = "         ";
    }
    Some(())
}

fn default_access(acls: &Json, out: &mut String) -> Option<()> {
    for acl in acls.items() {
        let kind = acl.get("acltype")?.shown()?;
        let allow = if acl.get("allow")? == &Json::Bool(true) { "allow" } else { "deny" };
        line(out, &format!("{kind:20} : {allow}"))?;
    }
    Some(())
}

/// Names with their priorities, the first one behind the label.
fn ranked(items: Option<&Json>, label: &str, name: &str, out: &mut String) -> Option<()> {
    let width = label.len();
    let mut label = label;
    for item in items.map_or(&[][..], Json::items) {
        line(out, &format!("{label:width$} {}{}", item.get(name)?.shown()?, priority(item)))?;
        label = "";
    }
    Some(())
}

fn priority(item: &Json) -> String {
    match item.get("priority") {
        Some(Json::Number(number)) => format!(" (priority: {number})"),
        _ => " (priority: -1)".to_owned(),
    }
}

fn listeners(listeners: &Json, out: &mut String) -> Option<()> {
    for (number, listener) in listeners.items().iter().enumerate() {
        line(out, &format!("Listener {}:", number + 1))?;
        for (label, name) in [
            ("Port", "port"),
            ("Protocol", "protocol"),
            ("Socket path", "socket-path"),
            ("Bind address", "bind-address"),
            ("TLS", "tls"),
        ] {
            let shown = match listener.get(name) {
                Some(Json::Number(number)) => number.to_string(),
                Some(Json::Bool(value)) => value.to_string(),
                Some(text) => text.shown()?,
                None => continue,
            };
            line(out, &format!("  {:18} {shown}", format!("{label}:")))?;
        }
    }
    Some(())
}

fn plugins(plugins: &Json, out: &mut String) -> Option<()> {
    for plugin in plugins.items() {
        line(out, &format!("Plugin:            {}", plugin.get("name")?.shown()?))?;
        if let Some(version) = plugin.get("version").and_then(Json::shown) {
            line(out, &format!("Version:           {version}"))?;
        }
        for endpoint in plugin.get("control-endpoints").map_or(&[][..], Json::items) {
            line(out, &format!("Control endpoint:  {}", endpoint.shown()?))?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(command: &str, data: &str) -> Result<String, String> {
        let answer = format!("{{\"responses\":[{{\"command\":\"{command}\",\"data\":{data}}}]}}");
        let answer: Json = serde_json::from_str(&answer).unwrap();
        show(command, find(&answer, command, None).unwrap())
    }

    #[test]
    fn listeners_and_plugins() {
        let data = r#"{"listeners":[{"port":1883,"protocol":"mqtt","bind-address":"::1","tls":false}]}"#;
        let expected = "Listener 1:\n  Port:              1883\n  Protocol:          mqtt\n  \
                        Bind address:      ::1\n  TLS:               false\n";
        assert_eq!(shown("listListeners", data).as_deref(), Ok(expected));
        let data = r#"{"plugins":[{"name":"p","version":"1","control-endpoints":["$CONTROL/x"]}]}"#;
        let expected = "Plugin:            p\nVersion:           1\nControl endpoint:  $CONTROL/x\n";
        assert_eq!(shown("listPlugins", data).as_deref(), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert_eq!(
            shown("getRole", "{}").unwrap_err(),
            "Error: Invalid response from server.",
            "no role in it"
        );
        let answer: Json =
            serde_json::from_str(r#"{"responses":[{"command":"x","error":"e\u001b[2J"}]}"#).unwrap();
        let response = find(&answer, "getRole", None).unwrap();
        assert_eq!(show("getRole", response).unwrap_err(), "getRole: Error: e\u{fffd}[2J");
    }

    #[test]
    fn the_answer_to_somebody_else_is_not_ours() {
        let answer = r#"{"responses":[{"command":"getRole","correlationData":"a"},{"command":"getRole","correlationData":"b","data":1}]}"#;
        let answer: Json = serde_json::from_str(answer).unwrap();
        assert!(find(&answer, "getRole", Some("b")).unwrap().get("data").is_some());
        assert!(find(&answer, "getRole", Some("c")).is_none());
        assert!(find(&answer, "listRoles", None).is_none());
    }
}
