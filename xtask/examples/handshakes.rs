//! The floor of `cargo xtask bench transports`: what the cryptography of a TLS 1.3 handshake takes a server, without sockets.
//!
//! `handshakes DIR` has the certificate from there, and both ends in one thread, of which the server's part is counted.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

const COUNT: u32 = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("handshakes DIR")?);
    let provider = Arc::new(ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.pem"))?];
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key"))?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // as the broker does
    server.ticketer = ring::Ticketer::new()?;
    server.send_tls13_tickets = 1;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.pem"))?)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut forgetful = client.clone();
    forgetful.resumption = Resumption::disabled();
    let server = Arc::new(server);
    let (full, resumed) = (measure(&Arc::new(forgetful), &server)?, measure(&Arc::new(client), &server)?);
    println!("handshakes: {full:.1} us full, {resumed:.1} us resumed");
    Ok(())
}

/// Microseconds of processor time each.
fn measure(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<f64, Box<dyn Error>> {
    let mut taken = Duration::ZERO;
    for _ in 0..COUNT {
        let mut client = ClientConnection::new(Arc::clone(client), "localhost".try_into()?)?;
        let begun = now()?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        taken += now()?.saturating_sub(begun);
        loop {
            let (mut sent, mut answer) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut sent)?;
            }
            let begun = now()?;
            let mut arrived = &sent[..];
            while !arrived.is_empty() {
                server.read_tls(&mut arrived)?;
                server.process_new_packets()?;
            }
            while server.wants_write() {
                server.write_tls(&mut answer)?;
            }
            taken += now()?.saturating_sub(begun);
            if sent.is_empty() && answer.is_empty() {
                break;
            }
            let mut arrived = &answer[..];
            while !arrived.is_empty() {
                client.read_tls(&mut arrived)?;
                client.process_new_packets()?;
            }
        }
    }
    Ok(taken.as_secs_f64() * 1e6 / f64::from(COUNT))
}

/// This thread's processor time.
fn now() -> Result<Duration, Box<dyn Error>> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}
