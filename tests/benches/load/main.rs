//! What a signed call costs beside a plain proxy that verifies nothing: real processes on one core, the load and the upstream on
//! another, interleaved, and compared in one run. CPU time a call is the figure to trust where a machine is shared. Linux only.
//!
//! `tests/load [--help]` builds what is measured, and runs this.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use e2e::{
    percentile::percentile,
    process::Process,
    redis::Redis,
    seed,
    signed::Tenant,
    world::{Operator, admin_environment, environment, gateway_environment, until_ready},
};
use futures_util::{StreamExt as _, stream};
use generator::{Callers, Load, Measured};
use serde_json::json;

mod generator;
mod machine;
mod servers;

/// Measures a gateway with everything on beside a proxy that verifies nothing.
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Options {
    /// Bytes of a call's body.
    #[arg(long, value_delimiter = ',', default_value = "200,2048,65536")]
    sizes: Vec<usize>,
    /// Seconds each target is measured at a time.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How often; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    repeat: usize,
    /// Connections, each with one call at a time.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    connections: usize,
    /// Calls a second of the run at a fixed rate; 0 leaves it out.
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// Tenants who call, the second half as often as the first, the third a third as often (Zipf).
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    tenants: usize,
    /// Tenants who are provisioned beside them and never call.
    #[arg(long, default_value_t = 0)]
    silent: u64,
    /// Cores of the gateway and its admin service, the first there are; the load and the upstream are on the last. Where that is
    /// one of them, compare CPU time only.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    cores: usize,
    /// Measures a second gateway, which writes an access line for each call.
    #[arg(long)]
    access_log: bool,
    /// Measures another gateway, which counts in Redis. Redis itself runs beside the load, and its CPU time is nobody's.
    #[arg(long)]
    redis: bool,
    #[command(subcommand)]
    role: Option<Role>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program is where it starts itself once more.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Upstream,
    #[command(hide = true)]
    Collector,
    #[command(hide = true)]
    PlainProxy { upstream: SocketAddr },
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a number from 1".to_owned())
}

fn main() {
    service::process::raise_descriptor_limit();
    let options = Options::parse();
    match options.role {
        Some(Role::Upstream) => servers::upstream(),
        Some(Role::Collector) => servers::collector(),
        Some(Role::PlainProxy { upstream }) => servers::plain_proxy(upstream),
        None => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(measure(&options)),
    }
}

/// Something that answers calls.
struct Target {
    name: &'static str,
    address: SocketAddr,
    /// Whose CPU time and memory are its own.
    processes: Vec<u32>,
}

async fn measure(options: &Options) {
    let cores = machine::cores();
    let load_core = *cores.last().expect("it runs somewhere");
    let gateway_cores: Vec<usize> = cores.iter().copied().take(options.cores).collect();
    machine::run_on(&[load_core]);
    let (upstream, collector) = (Server::start(&["upstream"]), Server::start(&["collector"]));
    machine::run_on(&gateway_cores);
    let plain = Server::start(&["plain-proxy", &upstream.address.to_string()]);
    let data = tempfile::tempdir().expect("a directory");
    let database = format!("sqlite://{}?mode=rwc", data.path().join("admin.db").display());
    let mut variables = admin_environment(&database);
    variables.extend(environment(&[("ADMIN_ACCESS_LOG", "false")]));
    if options.silent > 0 {
        // The schema first; and nobody is to follow a million changes.
        let mut admin = Process::start("admin-service", &[], &variables);
        let _ = admin.address("admin-grpc");
        admin.terminate();
        admin.wait();
        seed::silent_tenants(&database, options.silent).await;
    }
    let admin = Process::start("admin-service", &[], &variables);
    let (rest, grpc) = (admin.address("admin-rest"), admin.address("admin-grpc"));
    let mut variables = gateway_environment(grpc, upstream.address);
    // Everything on: leases, replays, rates, metrics, request ids, one trace in a hundred.
    variables.extend(environment(&[
        ("GATEWAY_ACCESS_LOG", "false"),
        ("GATEWAY_OPS_LISTEN", "127.0.0.1:0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.address)),
        ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
    ]));
    let gateway = Process::start("relay-gateway", &[], &variables);
    let relay = gateway.address("gateway");
    variables.insert("GATEWAY_ACCESS_LOG".to_owned(), "true".to_owned());
    let logging = options.access_log.then(|| Process::start("relay-gateway", &[], &variables));
    machine::run_on(&[load_core]);
    let redis = options.redis.then(Redis::start);
    machine::run_on(&gateway_cores);
    let counting = redis.as_ref().map(|redis| {
        variables.insert("GATEWAY_ACCESS_LOG".to_owned(), "false".to_owned());
        variables.insert("GATEWAY_REDIS_URL".to_owned(), redis.url());
        // Redis shares a core with the load: what is late there is counted in Redis all the same, so that the figure is of that.
        variables.insert("GATEWAY_REDIS_TIMEOUT_MS".to_owned(), "1000".to_owned());
        Process::start("relay-gateway", &[], &variables)
    });
    machine::run_on(&[load_core]);
    until_ready(relay).await;

    let tenants = provision(&Operator::at(rest), options.tenants).await;
    let mut targets = vec![
        Target { name: "plain proxy", address: plain.address, processes: vec![plain.child.id()] },
        Target { name: "relay gateway", address: relay, processes: vec![gateway.id(), admin.id()] },
    ];
    if let Some(logging) = &logging {
        let address = logging.address("gateway");
        until_ready(address).await;
        targets.push(Target { name: "with access lines", address, processes: vec![logging.id(), admin.id()] });
    }
    if let Some(counting) = &counting {
        let address = counting.address("gateway");
        until_ready(address).await;
        targets.push(Target { name: "counting in Redis", address, processes: vec![counting.id(), admin.id()] });
    }
    println!("{}", machine::describe(&cores));
    println!(
        "{} tenants call, {} are silent; {} connections; gateway and admin service on core(s) {gateway_cores:?}, load and \
         upstream on {load_core}, the plain proxy has one thread; medians of {} x {} s",
        options.tenants, options.silent, options.connections, options.repeat, options.seconds
    );
    // The fixed rate first: what a load at full speed leaves in memory is not that of a gateway at work.
    let paced = (options.rate > 0).then(|| (options.sizes.first().copied().unwrap_or(200), Some(options.rate)));
    let plan = paced.into_iter().chain(options.sizes.iter().map(|size| (*size, None)));
    for (size, rate) in plan {
        let callers = Arc::new(Callers::new(&tenants, size));
        // Every tenant once: what is measured is a gateway that knows them.
        for gateway in &targets[1..] {
            warm_up(gateway, &callers).await;
        }
        let mut runs: Vec<Vec<Run>> = targets.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.repeat {
            for (target, runs) in targets.iter().zip(&mut runs) {
                runs.push(run(target, &callers, rate, options, upstream.address).await);
            }
        }
        print_table(&targets, &runs, size, rate, options);
    }
    if let Some(counting) = &counting {
        println!("\n{}", round_trips(counting.address("gateway-ops")).await);
    }
}

/// What the gateway says of its calls to Redis: how many were answered in time and how long that took, and how many were not.
async fn round_trips(ops: SocketAddr) -> String {
    let text = reqwest::get(format!("http://{ops}/metrics")).await.expect("an answer").text().await.expect("text");
    let sum = |name: &str| -> f64 {
        let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().expect("a number")).sum()
    };
    let answered = r#"redis_call_duration_seconds_{}{outcome="answered""#;
    let (seconds, count) = (sum(&answered.replace("{}", "sum")), sum(&answered.replace("{}", "count")));
    let alone = sum("redis_counted_alone_total");
    format!(
        "Redis answered {count} calls, {:.0} us each on average; {alone} calls were counted alone",
        seconds / count * 1e6
    )
}

/// What one run says of a target.
struct Run {
    per_second: f64,
    cpu_us: f64,
    system_share: f64,
    /// Cores that were busy with it.
    busy: f64,
    p50_us: f64,
    p99_us: f64,
    resident_mib: f64,
}

async fn run(
    target: &Target,
    callers: &Arc<Callers>,
    rate: Option<u32>,
    options: &Options,
    upstream: SocketAddr,
) -> Run {
    let load = Load {
        target: target.address,
        callers: Arc::clone(callers),
        connections: options.connections,
        warm_up: Duration::from_secs(1),
        lasting: Duration::from_secs(options.seconds),
        rate,
    };
    let before = servers::counted(upstream).await;
    let Measured { answered, all, mut took, elapsed, used } = load.run(|| machine::cpu_time(&target.processes)).await;
    let after = servers::counted(upstream).await;
    // Nothing was answered that did not arrive, and nothing arrived cut.
    let body_bytes = all * callers.body_bytes() as u64;
    assert_eq!((after.0 - before.0, after.1 - before.1), (all, body_bytes), "{} lost or repeated calls", target.name);
    took.sort_unstable();
    let micros = |percent| f64::from(percentile(&took, percent)) / 10.0;
    Run {
        per_second: answered as f64 / elapsed.as_secs_f64(),
        cpu_us: used.total.as_secs_f64() * 1e6 / answered as f64,
        system_share: used.system_share(),
        busy: used.total.as_secs_f64() / elapsed.as_secs_f64(),
        p50_us: micros(50),
        p99_us: micros(99),
        resident_mib: machine::resident_bytes(&target.processes) as f64 / 1_048_576.0,
    }
}

fn print_table(targets: &[Target], runs: &[Vec<Run>], size: usize, rate: Option<u32>, options: &Options) {
    match rate {
        None => println!("\n### {size} B, as fast as {} connections go\n", options.connections),
        Some(rate) => println!("\n### {size} B, {rate} calls a second, time counted from when a call was due\n"),
    }
    println!(
        "| target | calls/s | CPU us a call | in the kernel | of the plain proxy's | cores busy | p50 us | p99 us | resident MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let cpu = |runs: &[Run]| median(runs, |run| run.cpu_us);
    for (target, of_target) in targets.iter().zip(runs) {
        println!(
            "| {} | {:.0} | {:.2} | {:.0} % | {} | {:.2} | {:.0} | {:.0} | {:.0} |",
            target.name,
            median(of_target, |run| run.per_second),
            cpu(of_target),
            median(of_target, |run| run.system_share * 100.0),
            ratio(of_target, &runs[0]),
            median(of_target, |run| run.busy),
            median(of_target, |run| run.p50_us),
            median(of_target, |run| run.p99_us),
            median(of_target, |run| run.resident_mib),
        );
    }
}

/// The CPU time of each run beside the plain proxy's of the same round: median, and the least and the most.
fn ratio(runs: &[Run], plain: &[Run]) -> String {
    let mut ratios: Vec<f64> = runs.iter().zip(plain).map(|(run, plain)| run.cpu_us / plain.cpu_us).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    format!("{:.2} ({:.2}-{:.2})", ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut all: Vec<f64> = runs.iter().map(of).collect();
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

async fn provision(operator: &Operator, count: usize) -> Vec<Tenant> {
    stream::iter(0..count)
        .map(|index| {
            let fields = json!({"tenant_name": format!("Tenant {index}"), "rate_limit_per_min": 6_000_000});
            async move { operator.provision(fields).await }
        })
        .buffer_unordered(32)
        .collect()
        .await
}

async fn warm_up(gateway: &Target, callers: &Arc<Callers>) {
    stream::iter(0..32).for_each_concurrent(None, |part| callers.call_each_once(gateway.address, part, 32)).await;
}

/// This program in another role, stopped when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(role: &[&str]) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let mut child = Command::new(program).args(role).stdout(Stdio::piped()).spawn().expect("it starts");
        let address = servers::read_address(child.stdout.take().expect("piped"));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
