//! A PostgreSQL server of one's own, from the binaries of the system. It ends with the process that started it, however that ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use relay::config::Secret;
use relay::records::store::migrate;
use sqlx::{AnyConnection, Connection};
use tokio::sync::OnceCell;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// `nobody`: PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;
/// The database that [`Server::database`] copies.
const MIGRATED: &str = "migrated";
/// Started by a shell that ends it as soon as its own standard input ends.
const KEEPER: &str = r#""$1/postgres" -D "$2" -k "$2" -c listen_addresses= -c shared_buffers=32MB -c max_connections=300 \
    -c fsync="$3" -c logging_collector=off >>"$2/log" 2>&1 &
child=$!
read -r order
if [ "$order" = crash ]; then kill -QUIT $child; else kill -INT $child; fi
wait $child
[ "$order" = keep ] || [ "$order" = crash ] || rm -rf "$2""#;

/// A server. Dropped, it is gone with all it held.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    binaries: PathBuf,
    fsync: &'static str,
    keeper: Child,
    orders: Option<ChildStdin>,
    /// Whether there is a database of the name [`MIGRATED`] to copy.
    migrated: OnceCell<()>,
    /// Its processes stand still.
    frozen: bool,
}

impl Server {
    /// Starts one for tests: it does not wait for the disk.
    pub fn start() -> Server {
        Server::with_fsync("off")
    }

    /// Starts one that keeps its promises.
    pub fn durable() -> Server {
        Server::with_fsync("on")
    }

    fn with_fsync(fsync: &'static str) -> Server {
        let binaries = binaries();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has a hundred characters at most.
        let folder = std::env::temp_dir().join(format!("voxrelay-pg-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        if is_root() {
            std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let made = unprivileged(&binaries.join("initdb"))
            .args(["--auth=trust", "--username=voxrelay", "--encoding=UTF8", "--no-sync", "-D"])
            .arg(&folder)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (keeper, orders) = keep(&binaries, &folder, fsync);
        let server = Server {
            folder,
            binaries,
            fsync,
            keeper,
            orders: Some(orders),
            migrated: OnceCell::new(),
            frozen: false,
        };
        server.wait_until_ready();
        server
    }

    /// Where a database of this server is.
    pub fn url(&self, database: &str) -> Secret {
        Secret::new(format!("postgres://voxrelay@localhost/{database}?host={}", self.folder.display()))
    }

    /// Where its tables are.
    pub fn tables(&self) -> PathBuf {
        self.folder.join("base")
    }

    /// A database with nothing in it.
    pub async fn empty_database(&self) -> Secret {
        self.copy("template1").await
    }

    /// A database with the relay's schema: a copy of one that is migrated once for all tests.
    pub async fn database(&self) -> Secret {
        let migrated = async || {
            self.create(MIGRATED, "template1").await;
            migrate(&self.url(MIGRATED)).await.expect("migrated");
        };
        self.migrated.get_or_init(migrated).await;
        self.copy(MIGRATED).await
    }

    async fn copy(&self, of: &str) -> Secret {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.create(&name, of).await;
        self.url(&name)
    }

    async fn create(&self, name: &str, of: &str) {
        sqlx::any::install_default_drivers();
        let mut admin = AnyConnection::connect(self.url("postgres").expose()).await.expect("it runs");
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {of}"));
        sqlx::raw_sql(create).execute(&mut admin).await.expect("a database");
    }

    /// Ends it at once, as a crash does. What was committed stays.
    pub fn crash(&mut self) {
        self.end("crash");
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        let (keeper, orders) = keep(&self.binaries, &self.folder, self.fsync);
        (self.keeper, self.orders) = (keeper, Some(orders));
        self.wait_until_ready();
    }

    /// Lets all its processes stand still: who asks it something gets no answer.
    pub fn freeze(&mut self) {
        self.signal("-STOP");
        self.frozen = true;
    }

    /// Lets them go on.
    pub fn thaw(&mut self) {
        self.signal("-CONT");
        self.frozen = false;
    }

    /// The postmaster hears it first: then it makes no more processes.
    fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.folder.join("postmaster.pid")).expect("it runs");
        let postmaster = file.lines().next().expect("its number").to_owned();
        // One may have ended in the meantime.
        let kill = |ids: &[String]| {
            let mut kill = Command::new("kill");
            kill.arg(signal).args(ids).stderr(Stdio::null()).status().expect("a command");
        };
        kill(std::slice::from_ref(&postmaster));
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
        let children: Vec<String> = processes
            .filter_map(|process| {
                let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
                // `pid (name) state parent …`
                let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
                (parent == postmaster).then(|| process.file_name().into_string().ok())?
            })
            .collect();
        kill(&children);
    }

    fn end(&mut self, order: &str) {
        if self.frozen {
            self.thaw();
        }
        if let Some(mut orders) = self.orders.take() {
            let _ = writeln!(orders, "{order}");
        }
        let _ = self.keeper.wait();
    }

    fn wait_until_ready(&self) {
        let begin = Instant::now();
        loop {
            let ready = Command::new(self.binaries.join("pg_isready"))
                .args(["--quiet", "--username=voxrelay", "--dbname=postgres", "-h"])
                .arg(&self.folder)
                .status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            let log = self.folder.join("log");
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(begin.elapsed() < PATIENCE, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("remove");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The server that the tests of one program share.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

fn keep(binaries: &Path, folder: &Path, fsync: &str) -> (Child, ChildStdin) {
    let mut shell = unprivileged(Path::new("sh"));
    shell.args(["-c", KEEPER, "sh"]).arg(binaries).arg(folder).arg(fsync);
    // Not ended by what ends the tests from a keyboard: then its input ends, too.
    let mut keeper = shell.process_group(0).stdin(Stdio::piped()).spawn().expect("a shell");
    let orders = keeper.stdin.take().expect("piped");
    (keeper, orders)
}

/// Somebody who is not root, if we are.
pub fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(std::env::temp_dir());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The newest PostgreSQL that is installed.
pub fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_isready"].iter().all(|program| folder.join(program).exists())
    };
    folders.into_iter().find(has_all).expect(
        "PostgreSQL is needed for the tests: `cargo xtask test` installs it, or install `postgresql` yourself",
    )
}
