//! Stand-ins for the providers: how a test starts them, tells them what to do, and asks them what they have seen. And an agent that needs none.

use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The key that they take.
pub const KEY: &str = "fake-key";

/// What they are asked for that has no price in the shipped table, as a file of prices.
pub const PRICES: &str = r#"
version = "test"
item = [
  { name = "openai/whisper", unit = "second", usd = "0.006", per = 60 },
  { name = "openai/chat", unit = "input_token", usd = "1", per = 1_000_000 },
  { name = "openai/chat", unit = "output_token", usd = "5", per = 1_000_000 },
]
"#;

/// An agent whose language model nobody answers for: it is not asked. Its file of prices is [`DOCTORS_PRICES`].
pub const DOCTOR: &str = r#"
[agents]
default = "doctor"
[agents.doctor]
llm = "nobody"
[providers.nobody]
url = "http://127.0.0.1:9/v1"
model = "m"
price = "eliza/eliza"
[prices]
file = "prices.toml"
"#;

/// What the language model of [`DOCTOR`] would cost, as the file `prices.toml`.
pub const DOCTORS_PRICES: &str = r#"
version = "test"
item = [
  { name = "eliza/eliza", unit = "input_token", usd = "1", per = 1_000_000 },
  { name = "eliza/eliza", unit = "output_token", usd = "5", per = 1_000_000 },
]
"#;

/// A provider: its kind, its model, its item in the shipped price table, and what else it wants.
#[derive(Debug)]
pub struct Provider(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

impl Provider {
    /// Its table in a configuration, under this name, with the stand-in at this port.
    #[must_use]
    pub fn table(&self, name: &str, port: u16) -> String {
        let Provider(kind, model, price, more) = self;
        // OpenAI's and Anthropic's addresses end with their version.
        let version = if kind.starts_with("openai") || *kind == "anthropic" { "/v1" } else { "" };
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{port}{version}\"\nkey = \"{KEY}\"\n\
            model = \"{model}\"\nprice = \"{price}\"\n{more}\n"
        )
    }
}

/// Starts them on a port of their own.
pub async fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, fakes::router(KEY.to_owned())).await });
    port
}

/// The body of their answer.
pub async fn ask(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(" 20"), "{answer}");
    body.to_owned()
}

/// What a model was asked last: who said what, but for its instructions.
pub async fn asked(port: u16) -> Vec<(String, String)> {
    let log: Value = serde_json::from_str(&ask(port, "GET", "/log", "").await).expect("JSON");
    let mut requests = log["requests"].as_array().expect("a list").iter();
    let last = requests.rfind(|request| request["wire"] == "openai.chat").expect("one was asked");
    let said = last["body"]["messages"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {last}")).to_owned();
    said.filter(|message| message["role"] != "system")
        .map(|message| (text(&message["role"]), text(&message["content"])))
        .collect()
}
