//! Clients that prove who they are, over TCP and over WebSocket alike.

use grovemq_tests::Broker;

use crate::certificates::{Authority, Pair};
use crate::peers::{openssl, openssl_with, publish, tls_broker};

struct Clients {
    authority: Authority,
    good: Pair,
    revoked: Pair,
    expired: Pair,
    stranger: Pair,
}

impl Clients {
    fn new() -> Self {
        let authority = Authority::new("authority");
        let stranger = Authority::new("stranger").client("good client", 1);
        let (good, revoked) = (authority.client("good client", 1), authority.client("revoked", 2));
        let expired = authority.expired_client("expired");
        Self { authority, good, revoked, expired, stranger }
    }

    #[track_caller]
    fn broker(&self, lines: &str) -> Broker {
        let more = [
            ("good", &self.good),
            ("revoked", &self.revoked),
            ("expired", &self.expired),
            ("stranger", &self.stranger),
        ];
        let broker = tls_broker(&self.authority, &format!("cafile {{dir}}/ca.crt\n{lines}"), &more);
        std::fs::write(broker.dir().join("revoked.crl"), self.authority.revoke(&[2])).unwrap();
        broker
    }
}

/// `mosquitto_pub` with the certificate of that name.
#[track_caller]
fn publish_as(broker: &Broker, name: &str) -> bool {
    let (certificate, key) =
        (broker.dir().join(format!("{name}.crt")), broker.dir().join(format!("{name}.key")));
    let files = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    publish(broker, name, &files).code == 0
}

const REQUIRED: &str = "require_certificate true";

#[test]
fn debian_only_clients_of_the_authority_get_in() {
    let clients = Clients::new();
    let broker = clients.broker(REQUIRED);
    assert!(publish_as(&broker, "good"));
    assert!(!publish_as(&broker, "stranger"));
    broker.wait_for_log("TLS handshake failed: invalid peer certificate");
    assert!(!publish_as(&broker, "expired"));
    broker.wait_for_log("certificate expired");
    assert_ne!(publish(&broker, "nobody", &[]).code, 0);
    broker.wait_for_log("TLS handshake failed: peer sent no certificates");
    // and a second time
    assert_ne!(publish(&broker, "nobody", &[]).code, 0);
}

#[test]
fn debian_dates_can_be_ignored() {
    let broker = Clients::new().broker("require_certificate true\ndisable_client_cert_date_checks true");
    assert!(publish_as(&broker, "expired"));
    assert!(publish_as(&broker, "good"));
    assert!(!publish_as(&broker, "stranger"));
}

#[test]
fn d04_debian_revoked_clients_stay_out_also_after_the_list_is_read_again() {
    let clients = Clients::new();
    let broker = clients.broker("require_certificate true\ncrlfile {dir}/none.crl");
    assert!(publish_as(&broker, "revoked"));
    std::fs::copy(broker.dir().join("revoked.crl"), broker.dir().join("none.crl")).unwrap();
    broker.program().hang_up();
    let deadline = std::time::Instant::now() + grovemq_tests::SOON;
    while publish_as(&broker, "revoked") {
        assert!(std::time::Instant::now() < deadline, "still let in");
    }
    broker.wait_for_log("invalid peer certificate: Revoked");
    assert!(publish_as(&broker, "good"));
}

#[test]
fn debian_capath_is_a_folder_of_certificates() {
    let clients = Clients::new();
    let broker =
        tls_broker(&clients.authority, "capath {dir}\nrequire_certificate true", &[("good", &clients.good)]);
    assert!(publish_as(&broker, "good"));
}

#[test]
fn a16_debian_the_user_name_is_the_certificates() {
    let clients = Clients::new();
    let broker = clients.broker("require_certificate true\nuse_identity_as_username true");
    assert!(publish_as(&broker, "good"));
    broker.wait_for_log("as good (p4, c1, k60, u'good client').");

    let broker = clients.broker("require_certificate true\nuse_subject_as_username true");
    assert!(publish_as(&broker, "good"));
    broker.wait_for_log("as good (p4, c1, k60, u'O=Grove,CN=good client').");
}

#[test]
fn a16_debian_without_a_certificate_there_is_no_user_name() {
    let clients = Clients::new();
    let broker = clients.broker("use_identity_as_username true");
    // certificates are not asked for: everybody is refused, in MQTT's words
    assert_eq!(publish(&broker, "x", &["-u", "somebody"]).code, 4);
    broker.wait_for_log("disconnected: bad username or password.");
}

#[test]
fn d04_openssl_certificates_count_the_same_over_websocket() {
    let clients = Clients::new();
    let broker = clients.broker("protocol websockets\nrequire_certificate true\ncrlfile {dir}/none.crl");
    let request: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let good =
        openssl_with(&broker, request, &["-quiet", "-no_ign_eof", "-cert", "good.crt", "-key", "good.key"]);
    assert!(good.text().contains("101 Switching Protocols"), "{}", good.text());
    for bad in ["stranger", "expired"] {
        let files = [format!("{bad}.crt"), format!("{bad}.key")];
        let end =
            openssl_with(&broker, request, &["-quiet", "-no_ign_eof", "-cert", &files[0], "-key", &files[1]]);
        assert!(!end.text().contains("101"), "{}", end.text());
    }
    openssl(&broker, &[]);
    broker.wait_for_log("peer sent no certificates");
}
