//! The files of `deploy/` that run relays, held to the relay: its times, port, paths, variables and commands. What Docker, Kubernetes and Fly.io
//! make of them is not tried here.

mod files;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::process::{Child, Command, Stdio};

use files::{all_of_unit, dockerfile, kubernetes, seconds, services, text, toml, unit, words};
use relay::Config;
use serde_json::{Map, Value};

/// How long a relay that has gone may still write what it owes to a slow database, in seconds: docs/service.md says so.
const WRITES: u64 = 10;
/// What deploys a relay, and says how.
const FILES: [&str; 6] = [
    "deploy/Dockerfile",
    "deploy/compose.yaml",
    "deploy/fly.toml",
    "deploy/kubernetes.yaml",
    "deploy/voxrelay.service",
    "docs/deploying.md",
];

/// What applies to one of several relays when nothing else is said.
fn one_of_several() -> Config {
    let database = ("DATABASE_URL".to_owned(), "postgres://voxrelay@localhost/voxrelay".to_owned());
    Config::load(None, [database]).expect("good")
}

/// What follows an instruction that the Dockerfile has once, or once at its end.
fn instruction(name: &str) -> String {
    let mut all = dockerfile().into_iter().filter(|(word, _)| word == name);
    all.next_back().unwrap_or_else(|| panic!("there is no {name}")).1
}

/// The value of a variable that the image has.
fn of_the_image(name: &str) -> Option<String> {
    let mut all = dockerfile().into_iter().filter(|(word, _)| word == "ENV");
    all.find_map(|(_, rest)| Some(rest.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// The services of `compose.yaml` whose image is the relay's.
fn of_the_relay() -> Map<String, Value> {
    let is_ours = |service: &Value| service["image"].as_str().is_some_and(|i| i.starts_with("voxrelay:"));
    services().into_iter().filter(|(_, service)| is_ours(service)).collect()
}

fn relays() -> Map<String, Value> {
    of_the_relay().into_iter().filter(|(name, _)| name.starts_with("relay-")).collect()
}

/// The Pods of the example for Kubernetes: of the relays and of the migration.
fn pods() -> [Value; 2] {
    ["Deployment", "Job"].map(|kind| kubernetes(kind).remove(0)["spec"]["template"]["spec"].take())
}

fn container(pod: &Value) -> &Value {
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    &pod["containers"][0]
}

#[test]
fn the_folder_of_a_relay_is_a_volume_whose_free_space_it_sees() {
    let [relay, _] = pods();
    let folder = instruction("VOLUME");
    let mounts = container(&relay)["volumeMounts"].as_array().expect("some").clone();
    let mount = mounts.iter().find(|mount| mount["mountPath"] == *folder).expect("it is mounted");
    let volumes = relay["volumes"].as_array().expect("some");
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("there is one");
    // Of an `emptyDir` a relay sees the free space of the machine's disk, and its Pod is ended when its own is used up.
    assert!(volume["ephemeral"].is_object() && volume["emptyDir"].is_null(), "{volume}");
}

#[test]
fn nobody_is_told_to_signal_a_container_in_a_way_after_which_it_is_not_restarted() {
    // Docker takes any signal of `docker kill` for the wish that the container stays down the next time it ends.
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let docs = std::fs::read_dir(docs).expect("a folder").map(|file| file.expect("a file").path());
    for page in docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")) {
        let said = std::fs::read_to_string(&page).expect("UTF-8");
        let kills = said.lines().find(|line| line.contains("docker") && line.contains("kill --signal"));
        assert_eq!(kills, None, "{}", page.display());
    }
}

#[test]
fn whoever_stops_a_relay_waits_until_its_calls_have_gone() {
    let config = one_of_several();
    let gone = (config.drain.serve + config.drain.moving + config.shutdown_grace).as_secs() + WRITES;
    let stops = unit("TimeoutStopSec").expect("a time");
    let mut waits = vec![
        ("systemd".to_owned(), seconds(&Value::String(stops))),
        ("Fly.io".to_owned(), seconds(&toml("deploy/fly.toml")["kill_timeout"])),
        ("Kubernetes".to_owned(), seconds(&pods()[0]["terminationGracePeriodSeconds"])),
    ];
    waits.extend(relays().iter().map(|(name, relay)| (name.clone(), seconds(&relay["stop_grace_period"]))));
    let guide = text("docs/deploying.md");
    let told = guide.split("--stop-timeout ").skip(1).filter_map(|rest| rest.split_whitespace().next());
    waits.extend(told.map(|time| ("docker run".to_owned(), seconds(&Value::String(time.to_owned())))));
    assert_eq!(waits.len(), 6, "{waits:?}");
    for (who, waits) in waits {
        assert!(waits >= gone, "{who} waits {waits} s, and a relay takes {gone} s");
    }
    assert_eq!(instruction("STOPSIGNAL"), "SIGTERM");
    assert_eq!(toml("deploy/fly.toml")["kill_signal"], "SIGTERM");
    assert!(unit("KillSignal").is_none_or(|signal| signal == "SIGTERM"));
}

#[test]
fn a_relay_that_stops_is_passed_over_before_it_refuses_calls() {
    let takes_calls = one_of_several().drain.serve.as_secs();
    let [pod, _] = pods();
    let probe = &container(&pod)["readinessProbe"];
    let seen = probe["periodSeconds"].as_u64().zip(probe["failureThreshold"].as_u64());
    let seen = seen.map(|(period, times)| period * times).expect("times") + seconds(&probe["timeoutSeconds"]);
    assert!(seen < takes_calls, "Kubernetes sees after {seen} s what lasts {takes_calls} s");
    let check = &toml("deploy/fly.toml")["http_service"]["checks"][0];
    let seen = seconds(&check["interval"]) + seconds(&check["timeout"]);
    assert!(seen < takes_calls, "Fly.io sees after {seen} s what lasts {takes_calls} s");
}

/// How long a relay takes to answer `/readyz` at most, in milliseconds: docs/service.md says so.
const ANSWERS_MS: u64 = 200;

#[test]
fn a_relay_whose_database_does_not_answer_is_not_passed_over_for_that() {
    let says = format!("within {ANSWERS_MS} ms");
    assert!(text("docs/service.md").contains(&says), "docs/service.md does not say {says}");
    let [pod, _] = pods();
    let probe = &container(&pod)["readinessProbe"];
    let check = &toml("deploy/fly.toml")["http_service"]["checks"][0];
    // What follows a name in a file, such as `timeout check 2s`.
    let behind = |file: &str, name: &str| {
        let text = text(file);
        let told = text.lines().find_map(|line| line.trim().strip_prefix(name));
        seconds(&Value::String(told.expect("a time").trim().to_owned()))
    };
    for (who, waits) in [
        ("Kubernetes", seconds(&probe["timeoutSeconds"])),
        ("Fly.io", seconds(&check["timeout"])),
        ("HAProxy", behind("deploy/haproxy.cfg", "timeout check ")),
        ("Caddy", behind("deploy/Caddyfile", "health_timeout ")),
    ] {
        // A machine that has much to do takes some times as long.
        assert!(waits * 1_000 >= 5 * ANSWERS_MS, "{who} waits for {waits} s");
    }
}

/// A relay that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_probe_asks_what_a_relay_answers() {
    let [pod, _] = pods();
    let probe = |name: &str| container(&pod)[name]["httpGet"].clone();
    assert_eq!(probe("readinessProbe")["path"], "/readyz");
    let check = toml("deploy/fly.toml")["http_service"]["checks"][0]["path"].clone();
    assert_eq!(check, "/readyz");
    let mut paths = BTreeSet::from(["/readyz".to_owned()]);
    for name in ["startupProbe", "livenessProbe"] {
        let path = probe(name)["path"].as_str().expect("a path").to_owned();
        assert_ne!(path, "/readyz", "a relay that is not ready is not to be restarted");
        paths.insert(path);
    }

    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxrelay"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VOXRELAY_")) {
        command.env_remove(name);
    }
    command.args(["dev", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut relay = Running(command.spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening on http://").expect("the address");
    for path in paths {
        let mut stream = TcpStream::connect(address).expect("connected");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[test]
fn everybody_knows_the_port_on_which_a_relay_listens() {
    let listens = of_the_image("VOXRELAY_LISTEN").expect("where it listens");
    let port: u64 = listens.strip_prefix("0.0.0.0:").and_then(|port| port.parse().ok()).expect("a port");
    assert_eq!(instruction("EXPOSE"), port.to_string());
    let fly = toml("deploy/fly.toml");
    assert_eq!(fly["http_service"]["internal_port"], port);
    assert!(text("deploy/Caddyfile").contains(&format!("relay-1:{port} relay-2:{port}")));

    let [pod, _] = pods();
    let container = container(&pod);
    let given = container["env"].as_array().expect("variables");
    let listens = given.iter().find(|variable| variable["name"] == "VOXRELAY_METRICS__LISTEN");
    let metrics = metrics_port(&listens.expect("where metrics are served")["value"]);
    let opened = |name: &str| {
        let ports = container["ports"].as_array().expect("ports");
        let found = ports.iter().find(|port| port["name"] == name);
        found.and_then(|port| port["containerPort"].as_u64())
    };
    assert_eq!((opened("http"), opened("metrics")), (Some(port), Some(metrics)));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "http", "{probe}");
    }
    for service in kubernetes("Service") {
        assert_eq!(service["spec"]["ports"][0]["targetPort"], "http");
    }
    let policy = &kubernetes("NetworkPolicy")[0]["spec"]["ingress"];
    let open = [&policy[0], &policy[1]].map(|rule| rule["ports"][0]["port"].as_u64());
    assert_eq!(open, [Some(port), Some(metrics)]);
    assert_eq!(policy[0]["from"], Value::Null);
    assert!(policy[1]["from"].is_array(), "metrics are not for everybody");
    assert_eq!(fly["metrics"]["port"], metrics_port(&fly["env"]["VOXRELAY_METRICS__LISTEN"]));
    assert_eq!(fly["metrics"]["path"], "/metrics");
}

#[test]
fn every_relay_that_is_deployed_serves_metrics_and_none_of_them_to_everybody() {
    let name = "VOXRELAY_METRICS__LISTEN";
    let [pod, _] = pods();
    let port = filled_by_kubernetes(container(&pod)).into_iter().find(|(variable, _)| variable == name);
    let port = metrics_port(&Value::String(port.expect("where metrics are served").1));
    let image = of_the_image(name).expect("where the image serves them");
    assert_eq!(metrics_port(&Value::String(image)), port);
    assert_ne!(instruction("EXPOSE"), port.to_string(), "`--publish-all` would publish it");
    let relays = relays();
    assert_eq!(relays.len(), 2);
    for (relay, service) in relays {
        assert_eq!(metrics_port(&service["environment"][name]), port, "{relay}");
        assert!(service["ports"].is_null(), "{relay}: whatever it publishes is for everybody");
    }
    let own = format!("{name}=127.0.0.1:{port}");
    assert!(all_of_unit("Environment").contains(&own), "the unit does not say {own}");
    // Nothing in front of relays passes them on.
    for proxy in ["deploy/Caddyfile", "deploy/haproxy.cfg", "deploy/nginx.conf"] {
        assert!(!text(proxy).contains(&port.to_string()), "{proxy}");
    }
    let guide = text("docs/metrics.md");
    assert!(guide.contains(&format!("relay-1:{port}")) && guide.contains(&format!("127.0.0.1:{port}")));
}

fn metrics_port(listens: &Value) -> u64 {
    let port = listens.as_str().and_then(|address| address.strip_prefix("0.0.0.0:"));
    port.and_then(|port| port.parse().ok()).expect("a port on all addresses")
}

#[test]
fn every_variable_that_is_named_is_a_key_of_the_configuration() {
    let reference = relay::config::reference();
    let mut named = 0;
    for file in FILES {
        let text = text(file);
        for rest in text.split("VOXRELAY_").skip(1) {
            let is_of_name = |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
            let name = &rest[..rest.find(|char: char| !is_of_name(char)).unwrap_or(rest.len())];
            // The path of the file is none of its keys.
            if name == "CONFIG" {
                continue;
            }
            named += 1;
            let key = name.to_lowercase().replace("__", ".");
            assert!(reference.contains(&format!("| `{key}` |")), "{file}: VOXRELAY_{name} is no key");
        }
    }
    assert!(named > 12, "{named} are read");
}

/// A value with what stands in for the variables of the shell in it.
fn filled(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let (variable, after) = rest.split_once('}').expect("its end");
    let default = variable.split_once(":-").map(|(_, default)| default);
    // Without a default it has to be given.
    assert!(default.is_some() || variable.contains(":?"), "{value}");
    let given = default.unwrap_or("a-password-that-is-longer-than-32-bytes");
    format!("{before}{given}{}", filled(after))
}

fn variables(table: &Value) -> Vec<(String, String)> {
    let table = table.as_object().expect("a table");
    table.iter().map(|(name, value)| (name.clone(), filled(value.as_str().expect("a text")))).collect()
}

#[test]
fn a_relay_takes_the_variables_that_it_is_given() {
    // The image listens on all addresses, and TLS is in front.
    let everywhere = Ipv4Addr::UNSPECIFIED.into();
    for (name, relay) in relays() {
        let environment = variables(&relay["environment"]);
        let config = Config::load(None, environment).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(config.database_url.is_some() && config.auth.has_key(), "{name}");
        assert!(config.network.may_listen(everywhere), "{name}");
        let proxy = &services()["proxy"]["networks"]["calls"]["ipv4_address"];
        assert_eq!(&relay["environment"]["VOXRELAY_NETWORK__TRUSTED_PROXIES"], proxy);
        assert_eq!(config.network.advertise, Some(format!("http://{name}:8080")), "by its name, on its port");
    }
    let fly = toml("deploy/fly.toml");
    let on_fly = Config::load(None, variables(&fly["env"])).expect("Fly.io");
    assert!(on_fly.network.may_listen(everywhere));
    assert_eq!(on_fly.listen.ip(), Ipv6Addr::UNSPECIFIED, "machines reach each other by IPv6");
    assert_eq!(fly["http_service"]["internal_port"], on_fly.listen.port());
    let own = format!("http://{POD_IP}:8080");
    for (pod, advertise) in pods().into_iter().zip([Some(own), None]) {
        let config = Config::load(None, filled_by_kubernetes(container(&pod))).expect("Kubernetes");
        assert_eq!(config.network.may_listen(everywhere), advertise.is_some());
        assert_eq!(config.network.advertise, advertise, "by the Pod's address, on its port");
    }
}

/// Where a Pod is that is not there.
const POD_IP: &str = "10.244.1.7";

/// The variables of a container as Kubernetes fills them: with what it knows of the Pod, and with the variables above in the place of `$(NAME)`.
fn filled_by_kubernetes(container: &Value) -> Vec<(String, String)> {
    let mut given: Vec<(String, String)> = Vec::new();
    for variable in container["env"].as_array().expect("variables") {
        let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
        let value = match field.as_str() {
            Some("status.podIP") => POD_IP,
            Some(other) => panic!("{other} is not known here"),
            None => variable["value"].as_str().expect("a text"),
        };
        let put =
            |value: String, (name, known): &(String, String)| value.replace(&format!("$({name})"), known);
        let value = given.iter().fold(value.to_owned(), put);
        assert!(!value.contains("$("), "{value}: no variable above it has that name");
        given.push((variable["name"].as_str().expect("a name").to_owned(), value));
    }
    given
}

#[cfg(unix)]
#[test]
fn a_machine_of_fly_says_where_others_reach_it_and_starts_without_an_address_too() {
    let fly = toml("deploy/fly.toml");
    let entrypoint = words(&fly["experimental"]["entrypoint"]);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_voxrelay"));
    let mut path = program.parent().expect("a folder").as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    let check = |own: Option<&str>| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(&entrypoint[0]);
        command.args(&entrypoint[1..]).args(["config", "--check"]).current_dir(folder.path());
        command.env_clear().env("PATH", &path).envs(variables(&fly["env"]));
        command.env("DATABASE_URL", "postgres://voxrelay@localhost/voxrelay");
        command.env("VOXRELAY_AUTH__HS256_SECRET", "a-secret-that-is-longer-than-32-bytes");
        command.envs(own.map(|own| ("FLY_PRIVATE_IP", own)));
        let output = command.output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said.lines().find(|line| line.starts_with("network.advertise")).map(str::to_owned)
    };
    let port = fly["http_service"]["internal_port"].as_u64().expect("a port");
    let advertised = format!("network.advertise = \"http://[fdaa:0:1:a7b:7b:0:1:2]:{port}\"  # environment");
    assert_eq!(check(Some("fdaa:0:1:a7b:7b:0:1:2")), Some(advertised));
    assert_eq!(check(None), None);
}

#[test]
fn every_relay_that_is_deployed_logs_an_object_a_line() {
    let name = "VOXRELAY_LOG__FORMAT";
    for (relay, service) in relays() {
        assert_eq!(service["environment"][name], "json", "{relay}");
    }
    assert_eq!(toml("deploy/fly.toml")["env"][name], "json");
    let pod = &pods()[0];
    let given = container(pod)["env"].as_array().expect("variables").iter();
    let formats: Vec<_> =
        given.filter(|variable| variable["name"] == name).map(|one| &one["value"]).collect();
    assert_eq!(formats, ["json"], "Kubernetes");
    assert!(all_of_unit("Environment").contains(&format!("{name}=json")));
    let guide = text("docs/deploying.md");
    let run = guide.split("docker run ").find(|run| run.contains("--detach")).expect("how a relay is run");
    assert!(run.contains(&format!("--env {name}=json")), "{run}");
}

#[test]
fn no_file_has_a_secret_and_none_comes_into_the_image() {
    for (name, service) in services() {
        let Some(environment) = service["environment"].as_object() else { continue };
        for (variable, value) in environment {
            let is_secret = ["SECRET", "PASSWORD", "DATABASE_URL"].iter().any(|word| variable.contains(word));
            let value = value.as_str().expect("a text");
            assert!(!is_secret || value.contains(":?"), "{name}: {variable} stands in the file");
        }
    }
    assert!(kubernetes("Secret").is_empty());
    let reference = relay::config::reference();
    for (name, _) in variables(&toml("deploy/fly.toml")["env"]) {
        let key = name.trim_start_matches("VOXRELAY_").to_lowercase().replace("__", ".");
        let line = reference.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).expect("a key");
        assert!(!line.contains("never shown"), "{name} is a secret of Fly.io");
    }
    for list in [".dockerignore", ".gitignore"] {
        let (list, kept_out) = (text(list), ["voxrelay.toml", ".env", "*.env"]);
        for file in kept_out {
            assert!(list.lines().any(|line| line.ends_with(file)), "{file}");
        }
    }
}

#[test]
fn every_command_that_is_given_is_one() {
    let list = |text: &str| words(&serde_json::from_str(text).expect("a list, which needs no shell"));
    assert_eq!(list(&instruction("ENTRYPOINT")), ["voxrelay"]);
    let health = instruction("HEALTHCHECK");
    let health = list(health.split_once("CMD ").expect("a command").1);
    assert_eq!(health[0], "voxrelay");
    let unit = unit("ExecStart").expect("a command");
    let unit: Vec<String> = unit.split_whitespace().map(str::to_owned).collect();
    assert_eq!(unit[0], "/usr/local/bin/voxrelay");
    let release = toml("deploy/fly.toml")["deploy"]["release_command"].as_str().expect("one").to_owned();
    let mut commands =
        vec![list(&instruction("CMD")), health[1..].to_vec(), unit[1..].to_vec(), vec![release]];
    let ours = of_the_relay();
    let given = ours.values().map(|service| &service["command"]).filter(|command| !command.is_null());
    commands.extend(given.map(words));
    commands.push(words(&toml("deploy/fly.toml")["experimental"]["cmd"]));
    commands.extend(pods().iter().map(|pod| words(&container(pod)["args"])));
    assert_eq!(commands.len(), 8, "{commands:?}");
    for command in commands {
        let voxrelay = Command::new(env!("CARGO_BIN_EXE_voxrelay")).args(&command).arg("--help").output();
        let output = voxrelay.expect("it runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The name and the tag of an image.
fn image(image: &str) -> (&str, &str) {
    image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"))
}

#[test]
fn every_image_has_a_version_and_the_relays_own_is_this_one() {
    let (mut bases, mut stages) = (Vec::new(), BTreeSet::new());
    for (_, from) in dockerfile().into_iter().filter(|(word, _)| word == "FROM") {
        let (base, stage) = from.split_once(" AS ").map_or((from.as_str(), None), |(b, s)| (b, Some(s)));
        bases.extend((!stages.contains(base)).then(|| base.to_owned()));
        stages.extend(stage.map(str::to_owned));
    }
    let mut images = bases.clone();
    let named = |of: &Value| of["image"].as_str().expect("an image").to_owned();
    images.extend(services().values().map(named));
    images.extend(pods().iter().map(|pod| named(container(pod))));
    assert_eq!(images.len(), 10, "{images:?}");
    for whole in &images {
        let (name, tag) = image(whole);
        let version = tag.split('-').next().unwrap_or_default();
        let is_version = version.split('.').all(|number| number.parse::<u32>().is_ok());
        assert!(is_version && version.contains('.'), "{whole} may be another one tomorrow");
        if name.ends_with("voxrelay") {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"));
        }
    }
    let job = &kubernetes("Job")[0]["metadata"]["name"];
    let version = env!("CARGO_PKG_VERSION").replace('.', "-");
    assert_eq!(*job, format!("voxrelay-migrate-{version}"), "a Job that is done is not done again");

    let base = |name: &str| {
        let found = bases.iter().find_map(|base| base.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("{name} is not used")).to_owned()
    };
    let rust = base("rust");
    let workspace = toml("Cargo.toml");
    let wanted = workspace["workspace"]["package"]["rust-version"].as_str().expect("a version").to_owned();
    let toolchain = toml("rust-toolchain.toml")["toolchain"]["channel"].as_str().expect("one").to_owned();
    let version = rust.split('-').next().unwrap_or_default();
    assert!(version.starts_with(&format!("{wanted}.")), "{version} is not the {wanted} of Cargo.toml");
    assert!(toolchain == "stable" || version.starts_with(&toolchain), "{version} is not {toolchain}");
    let pinned = format!("RUSTUP_TOOLCHAIN={version}");
    assert!(dockerfile().contains(&("ENV".to_owned(), pinned)), "another toolchain would be fetched");
    // What is linked against a newer C library than there is does not start.
    assert!(rust.ends_with("-bookworm") && base("debian").starts_with("12."), "one Debian for both");
}

#[test]
fn a_relay_has_no_rights_and_a_folder_of_its_own() {
    let folder = instruction("WORKDIR");
    let owner = instruction("USER");
    let number = |text: &str| text.parse::<u64>().expect("a number, which Kubernetes can tell from root");
    let (user, group) = owner.split_once(':').expect("a user and a group");
    let (user, group) = (number(user), number(group));
    assert!(user > 0 && group > 0);
    assert_eq!(unit("WorkingDirectory"), Some(folder.clone()));

    for (name, service) in of_the_relay() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
    }
    for (name, relay) in relays() {
        assert_eq!(words(&relay["volumes"]), [format!("{name}:{folder}")]);
    }
    assert_eq!(toml("deploy/fly.toml")["mounts"][0]["destination"], folder.as_str());

    for pod in pods() {
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["runAsUser"], user);
        assert_eq!(security["runAsGroup"], group);
        assert_eq!(security["fsGroup"], group, "the volumes are this group's");
        let container = container(&pod);
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(words(&security["capabilities"]["drop"]), ["ALL"]);
        let limits = container["resources"]["limits"].as_object().expect("limits");
        assert!(limits.contains_key("memory") && !limits.contains_key("cpu"), "calls wait for no slice");
    }
    let [pod, _] = pods();
    let mounts = container(&pod)["volumeMounts"].as_array().expect("mounts").clone();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == folder.as_str() && mount["readOnly"].is_null()));
}

#[test]
fn one_relay_is_ready_whatever_is_updated_or_emptied() {
    let deployment = kubernetes("Deployment").remove(0);
    let replicas = deployment["spec"]["replicas"].as_u64().expect("a number");
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let budget = kubernetes("PodDisruptionBudget").remove(0);
    assert_eq!(budget["spec"]["minAvailable"], 1);
    assert!(replicas > 1, "or no machine could ever be emptied");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    for service in kubernetes("Service") {
        assert_eq!(&service["spec"]["selector"], labels);
    }
    let spreads = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"];
    for spread in spreads.as_array().expect("two") {
        assert_eq!(&spread["labelSelector"]["matchLabels"], labels);
    }
    let fly = toml("deploy/fly.toml");
    assert_eq!(fly["deploy"]["strategy"], "rolling");
    assert_eq!(fly["deploy"]["max_unavailable"], 1);
    assert!(fly["http_service"]["min_machines_running"].as_u64() > Some(1));
}

#[test]
fn the_ingress_waits_as_long_as_the_configuration_of_nginx() {
    let nginx = text("deploy/nginx.conf");
    let ingresses = kubernetes("Ingress");
    assert_eq!(ingresses.len(), 2);
    for ingress in &ingresses {
        let annotations = &ingress["metadata"]["annotations"];
        for (key, unit) in [
            ("proxy-connect-timeout", "s"),
            ("proxy-read-timeout", "s"),
            ("proxy-send-timeout", "s"),
            ("proxy-buffering", ""),
            ("proxy-next-upstream", ""),
            ("proxy-next-upstream-tries", ""),
        ] {
            let value = annotations[format!("nginx.ingress.kubernetes.io/{key}")].as_str().expect("a text");
            let line = format!("{} {value}{unit};", key.replace('-', "_"));
            assert!(nginx.contains(&line), "deploy/nginx.conf does not say {line}");
        }
    }
    let [_, over_http] = ingresses.as_slice() else { panic!("two") };
    let hashed = &over_http["metadata"]["annotations"]["nginx.ingress.kubernetes.io/upstream-hash-by"];
    assert_eq!(hashed, "$uri");
    let path = over_http["spec"]["rules"][0]["http"]["paths"][0]["path"].as_str().expect("a path");
    assert!(nginx.contains(&format!("location {path} {{")), "{path}");
}
