//! The fakes as a program: it prints its port, then serves until it is ended.

use std::io::Write as _;
use std::net::Ipv4Addr;

use axum::serve::ListenerExt as _;
use clap::Parser;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(name = "fakes", about = "Stand-ins for the speech and language providers")]
struct Cli {
    /// Port to listen on, on this machine only; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The one key that every wire takes
    #[arg(long, default_value = "fake-key")]
    key: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let Cli { port, key } = Cli::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?.port())?;
    stdout.flush()?;
    // A piece is on its way when it is sent, however small it is.
    let listener = listener.tap_io(|stream| {
        // Without it the pieces come later; they still come.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, fakes::router(key)).await
}
