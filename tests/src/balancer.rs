//! What stands in front of several relays: each connection goes to the first of them that is ready.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A load balancer that knows nothing of calls. Dropped, it and its connections end.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Balancer {
    /// Stands in front of these relays, in this order.
    pub async fn before(relays: Vec<SocketAddr>) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(client, relays.clone()));
            }
        });
        Balancer { address, serving }
    }

    /// Where to call.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/v1/call", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whether new calls may begin at a relay. It is asked for each connection, so that none comes to it once it says no.
async fn is_ready(relay: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(relay).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

async fn carry(mut client: TcpStream, relays: Vec<SocketAddr>) {
    for address in relays {
        if !is_ready(address).await.unwrap_or(false) {
            continue;
        }
        let Ok(mut relay) = TcpStream::connect(address).await else { continue };
        let _ = client.set_nodelay(true).and_then(|()| relay.set_nodelay(true));
        // Whichever side ends, the other one learns of it.
        let _ = copy_bidirectional(&mut client, &mut relay).await;
        return;
    }
}
