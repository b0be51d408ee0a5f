//! Connects with TLS and says what the server is willing to do: `tls HOST [CA_FILE [CERTIFICATE KEY]]`.

use grovemq_client::{Client, Disconnect, Error, Options, Tls, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (host, tls) = match args.as_slice() {
        [host] => (host, Tls::system()?),
        [host, ca] => (host, Tls::builder().ca_file(ca).build()?),
        [host, ca, certificate, key] => {
            (host, Tls::builder().ca_file(ca).client_certificate(certificate, key).build()?)
        }
        _ => return Err(Error::Setup("usage: tls HOST [CA_FILE [CERTIFICATE KEY]]".to_owned())),
    };
    let options = Options::over(Transport::tcp(host, 8883).tls(tls));
    let (client, _events, info) = Client::connect(options).await?;
    println!("{info:#?}");
    client.disconnect(Disconnect::default()).await
}
