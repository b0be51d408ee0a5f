//! `disable_client_cert_date_checks`: clients' certificates count whatever the date is.

use grovemq_net::rustls::client::danger::HandshakeSignatureValid;
use grovemq_net::rustls::pki_types::{CertificateDer, UnixTime};
use grovemq_net::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use grovemq_net::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;

/// Certificates of a chain, each of which may need another date.
const TRIES: usize = 8;

/// Asks `0` as of a date on which the certificate is valid. All certificates of a chain must have one in common.
#[derive(Debug)]
pub(crate) struct Undated(pub(crate) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Undated {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut at = now;
        for _ in 0..TRIES {
            let result = self.0.verify_client_cert(end_entity, intermediates, at);
            at = match &result {
                Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                    UnixTime::since_unix_epoch(Duration::from_secs(not_after.as_secs().saturating_sub(1)))
                }
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before, ..
                })) => *not_before,
                _ => return result,
            };
        }
        self.0.verify_client_cert(end_entity, intermediates, at)
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
