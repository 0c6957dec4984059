//! How the client opens its socket: Nagle's algorithm off, and one time limit for name look-up, connect and HELLO together.
//!
//! async-opcua's own connector has neither: notifications took 80 ms, and a peer that accepts and says nothing held it for ever.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::ConnectionSource;
use opcua::client::transport::{
    Connector, RequestRecv, SecureChannelState, StreamConnection, StreamConnector, StreamTransport,
    TransportConfiguration,
};
use opcua::core::comms::tcp_codec::TcpCodec;
use opcua::core::comms::url::hostname_port_from_url;
use opcua::types::{DecodingOptions, EndpointDescription, Error, StatusCode};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_util::codec::FramedRead;

type Reader = ReadHalf<TcpStream>;
type Writer = WriteHalf<TcpStream>;

/// OPC UA's registered port.
const PORT: u16 = 4840;

/// Connects to one URL.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    pub url: String,
    pub limit: Duration,
}

/// Opens a TCP connection with Nagle's algorithm off, which ends with a reset: what the server has not taken yet is thrown away.
/// Otherwise TCP would deliver a write from before an outage after it (docs/adr/0020).
///
/// # Errors
/// `BadTcpEndpointUrlInvalid` when the URL or host is unknown, `BadCommunicationError` when nobody listens there.
pub async fn dial(url: &str) -> Result<TcpStream, Error> {
    let (host, port) = hostname_port_from_url(url, PORT)
        .map_err(|e| Error::new(e, format!("{url:?} is not of the form opc.tcp://host:port/path")))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|e| Error::new(StatusCode::BadCommunicationError, format!("cannot connect to {host}:{port}: {e}")))?;
    let set = stream.set_nodelay(true).and_then(|()| stream.set_zero_linger());
    set.map_err(|e| Error::new(StatusCode::BadCommunicationError, e))?;
    Ok(stream)
}

async fn open(url: String, decoding: DecodingOptions) -> Result<StreamConnection<Reader, Writer>, Error> {
    let (reader, writer) = tokio::io::split(dial(&url).await?);
    Ok(StreamConnection::new(FramedRead::new(reader, TcpCodec::new(decoding)), writer, url))
}

impl Connector for Dialer {
    type Transport = StreamTransport<Reader, Writer>;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        outgoing: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<Self::Transport, Error> {
        let connector = StreamConnector::new(open, self.url.clone());
        let connected = tokio::time::timeout(self.limit, connector.connect(channel, outgoing, config)).await;
        connected.unwrap_or_else(|_| {
            let why = format!("{} did not answer connect and HELLO within {:?}", self.url, self.limit);
            Err(Error::new(StatusCode::BadTimeout, why))
        })
    }

    fn default_endpoint(&self) -> EndpointDescription {
        EndpointDescription::from(self.url.as_str())
    }
}

impl ConnectionSource for Dialer {
    type Builder = Self;

    fn get_connector(&self, _endpoint: &EndpointDescription) -> Result<Self, Error> {
        // Always the configured URL: servers announce names that may not be known here.
        Ok(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nagle_is_off_on_the_client_socket() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("opc.tcp://{}/", listener.local_addr().expect("address"));
        let stream = dial(&url).await.expect("connect");
        assert!(stream.nodelay().expect("getsockopt"), "a notification would wait for a delayed ACK");
        let linger = stream.linger().expect("getsockopt");
        assert_eq!(linger, Some(Duration::ZERO), "a write from before an outage would arrive after it");
    }
}
