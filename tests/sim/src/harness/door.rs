//! The Worker's front door: one address for as long as a test lasts, while workerd behind it is killed and started
//! again on another port. With nobody behind it, connections are taken and dropped.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The door; it closes when this is dropped.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    behind: Arc<Mutex<Option<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Door {
    pub(super) async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let behind = Arc::new(Mutex::new(None));
        let task = tokio::spawn(serve(listener, Arc::clone(&behind)));
        Ok(Self { address, behind, task })
    }

    /// Leads new connections here, or nowhere.
    pub(super) fn lead_to(&self, address: Option<SocketAddr>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, behind: Arc<Mutex<Option<SocketAddr>>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((outside, _)) = accepted else { continue };
                let address = *behind.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(address) = address {
                    connections.spawn(pass(outside, address));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn pass(mut outside: TcpStream, address: SocketAddr) {
    let Ok(mut inside) = TcpStream::connect(address).await else { return };
    let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
    // It ends when either side is gone, which is how a killed Worker shows.
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
}
