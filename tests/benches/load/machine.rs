//! What the system says of processes, and where it runs them. Linux only.

use std::{fs, thread, time::Duration};

use rustix::{
    param::clock_ticks_per_second,
    thread::{CpuSet, sched_setaffinity},
};

/// CPU time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// The machine's last core.
pub(crate) fn last_core() -> usize {
    fs::read_to_string("/proc/cpuinfo").expect("Linux").matches("\nprocessor").count()
}

/// Moves this thread, and what it starts from now on, to these cores.
pub(crate) fn run_on(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).expect("there are such cores");
}

/// What these processes have used so far.
pub(crate) fn cpu_time(processes: &[u32]) -> Cpu {
    let mut cpu = Cpu::default();
    for process in processes {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
        let time = |field: usize| {
            let ticks: f64 = fields[field].parse().expect("ticks");
            Duration::from_secs_f64(ticks / clock_ticks_per_second() as f64)
        };
        // Fields 14 and 15, of which the first two are gone.
        cpu.user += time(11);
        cpu.system += time(12);
    }
    cpu
}

/// What these processes have resident.
pub(crate) fn resident_bytes(processes: &[u32]) -> u64 {
    processes
        .iter()
        .map(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
            line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
        })
        .sum()
}

/// Processor, cores, kernel.
pub(crate) fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").expect("Linux");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("?", |name| name.trim_matches(['\t', ':', ' ']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux");
    format!(
        "{model}, {} cores, Linux {}",
        thread::available_parallelism().map_or(1, usize::from).max(last_core() + 1),
        kernel.trim()
    )
}
