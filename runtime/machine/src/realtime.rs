//! Why: asks the operating system for what a scan thread likes to have, and says in words what was granted and what was refused.
//!
//! Nothing here is needed to run: a refusal is a sentence with the next step, never an error. `apply` works on the calling thread,
//! so the scan thread calls it itself, before its first scan.
//!
//! Words: *granted* is what the kernel confirmed, not what was asked for.

use std::fmt;
use std::fs;

use flyball_config::CpuRequest;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Pid;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

/// Capability numbers of linux/capability.h.
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// What the scan thread got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Scheduling in words: "SCHED_FIFO 80" or "normal priority".
    pub policy: String,
    /// Core that the thread is pinned to.
    pub core: Option<u32>,
    /// Memory is locked against paging.
    pub locked: bool,
    /// One sentence per request that was refused, each with the next step.
    pub refusals: Vec<String>,
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.policy)?;
        match self.core {
            Some(core) => write!(f, ", pinned to core {core}")?,
            None => f.write_str(", not pinned")?,
        }
        f.write_str(if self.locked { ", memory locked" } else { ", memory not locked" })
    }
}

/// Asks for everything in `request` for the calling thread (memory: for the whole process).
#[must_use]
pub fn apply(request: &CpuRequest) -> Granted {
    let mut refusals = Vec::new();
    if let Some(priority) = request.priority
        && let Err(errno) = ask_fifo(priority)
    {
        refusals.push(fifo_refusal(priority, errno, has_capability(CAP_SYS_NICE), soft_limit(Resource::RLIMIT_RTPRIO)));
    }
    let mut core = None;
    if let Some(wanted) = request.core {
        match pin(wanted) {
            Ok(()) => core = Some(wanted),
            Err(errno) => refusals.push(core_refusal(wanted, errno, &allowed_cores())),
        }
    }
    let mut locked = false;
    if request.lock_memory {
        match mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
            Ok(()) => locked = true,
            Err(errno) => {
                refusals.push(lock_refusal(errno, has_capability(CAP_IPC_LOCK), soft_limit(Resource::RLIMIT_MEMLOCK)))
            }
        }
    }
    Granted { policy: policy_in_words(), core, locked, refusals }
}

/// What a bench prints above its numbers: the machine, and what the calling thread was really granted. Asks for `SCHED_FIFO` at 80, for
/// locked memory, and for `core` if one is named.
#[must_use]
pub fn bench_header(core: Option<u32>) -> String {
    // Before pinning, which hides the other cores.
    let machine = machine();
    let granted = apply(&CpuRequest { core, priority: Some(80), lock_memory: true });
    let mut text = format!("{machine}\nscheduling: {granted}\n");
    for refusal in &granted.refusals {
        text.push_str(&format!("  {refusal}\n"));
    }
    text
}

/// The last core that this process may use: the first ones serve interrupts more often.
#[must_use]
pub fn last_core() -> Option<u32> {
    allowed_cores().last().copied()
}

/// Lowers the calling thread, and every thread it starts later, to nice +5: the service process never competes with the scan.
///
/// # Errors
/// The kernel's refusal in words.
pub fn be_nice() -> Result<(), String> {
    // The crate maps 0..=99 onto nice +20..=-20; 37 is the value that comes out at +5.
    let value = ThreadPriorityValue::try_from(37u8).map_err(|e| e.to_string())?;
    let normal = ThreadSchedulePolicy::Normal(thread_priority::NormalThreadSchedulePolicy::Other);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), normal)
        .map_err(|e| format!("nice +5 refused: {e}"))
}

fn ask_fifo(priority: u8) -> Result<(), Errno> {
    let value = ThreadPriorityValue::try_from(priority).map_err(|_| Errno::EINVAL)?;
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), fifo) {
        Ok(()) => Ok(()),
        Err(thread_priority::Error::OS(code)) => Err(Errno::from_raw(code)),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn pin(core: u32) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    set.set(core as usize)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

fn policy_in_words() -> String {
    let priority = || {
        // The 18th field after the name's closing bracket of proc_pid_stat(5) would need parsing by position; the kernel's own
        // text form of the scheduler is simpler. Absent on some kernels, then the number is left out.
        let text = fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = text.lines().find(|l| l.starts_with("prio"))?;
        let kernel: i32 = line.rsplit(':').next()?.trim().parse().ok()?;
        // The kernel counts real-time priorities downwards from 99: prio = 99 - rt_priority.
        Some(99 - kernel)
    };
    match thread_schedule_policy() {
        Ok(ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo)) => match priority() {
            Some(p) => format!("SCHED_FIFO {p}"),
            None => "SCHED_FIFO".into(),
        },
        Ok(ThreadSchedulePolicy::Realtime(other)) => format!("{other:?}"),
        _ => "normal priority".into(),
    }
}

/// Why SCHED_FIFO was refused, and what to do.
fn fifo_refusal(priority: u8, errno: Errno, has_cap: bool, rtprio: Option<u64>) -> String {
    let why = match errno {
        Errno::EPERM if has_cap => {
            "CAP_SYS_NICE is present, so a real-time group limit forbids it (cgroup cpu.rt_runtime_us is 0)".to_owned()
        }
        Errno::EPERM => {
            let limit = rtprio.map_or_else(|| "unknown".to_owned(), |l| l.to_string());
            format!("CAP_SYS_NICE is missing and the limit rtprio is {limit}")
        }
        Errno::EINVAL => "the priority must be 1 to 99".to_owned(),
        other => other.desc().to_owned(),
    };
    let next = match errno {
        Errno::EINVAL => "Correct cpu.priority.",
        Errno::EPERM if has_cap => {
            "Switch real-time group scheduling off or give the group a budget; see docs/OPERATING.md."
        }
        _ => {
            "Start with `setcap cap_sys_nice,cap_ipc_lock+ep flyball`, in a container with `--cap-add=SYS_NICE --ulimit rtprio=99`, \
             or see docs/OPERATING.md."
        }
    };
    format!("SCHED_FIFO {priority} refused: {why}; running as normal priority. {next}")
}

/// Why pinning was refused, and what to do.
fn core_refusal(core: u32, errno: Errno, allowed: &[u32]) -> String {
    let list = allowed.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let why = match errno {
        Errno::EINVAL => "this process may not use that core".to_owned(),
        other => other.desc().to_owned(),
    };
    format!("Pinning to core {core} refused: {why}; not pinned. Allowed cores: {list}. Set cpu.core to one of them.")
}

/// Why locking was refused, and what to do.
fn lock_refusal(errno: Errno, has_cap: bool, memlock: Option<u64>) -> String {
    let why = match (errno, has_cap) {
        (Errno::EPERM | Errno::ENOMEM | Errno::EAGAIN, false) => {
            let limit = memlock.map_or_else(|| "unknown".to_owned(), |l| format!("{} KiB", l / 1024));
            format!("CAP_IPC_LOCK is missing and the limit memlock is {limit}")
        }
        (other, _) => other.desc().to_owned(),
    };
    format!(
        "Locking memory refused: {why}; pages may be swapped out. Start with `setcap cap_sys_nice,cap_ipc_lock+ep flyball`, in a \
         container with `--ulimit memlock=-1`, or see docs/OPERATING.md."
    )
}

fn allowed_cores() -> Vec<u32> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0u32..).zip(0..CpuSet::count()).filter(|&(_, i)| set.is_set(i).unwrap_or(false)).map(|(core, _)| core).collect()
}

/// True when the effective set of /proc/self/status has the capability. False when it cannot be read.
fn has_capability(bit: u32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return false };
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:")).map(str::trim);
    effective.and_then(|hex| u64::from_str_radix(hex, 16).ok()).is_some_and(|set| set >> bit & 1 == 1)
}

fn soft_limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).ok().map(|(soft, _)| soft)
}

/// The machine in one block of plain facts: a latency without its machine means nothing.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Machine {
    /// Kernel release and preemption model, as `uname -rv` says.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// Vector features that the inference kernels can use.
    pub features: Vec<String>,
    /// Cores this process may use.
    pub cores: usize,
    /// What hints at a container or a virtual machine; empty on bare metal.
    pub hosted: Vec<String>,
    /// Frequency governor of core 0, if readable.
    pub governor: Option<String>,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}; {} x {} ({})", self.kernel, self.cores, self.cpu, self.features.join(" "))?;
        if !self.hosted.is_empty() {
            write!(f, "; {}", self.hosted.join(", "))?;
        }
        match &self.governor {
            Some(governor) => write!(f, "; governor {governor}"),
            None => f.write_str("; governor not readable"),
        }
    }
}

/// Describes this machine. Reads a few files of /proc and /sys; what cannot be read is said to be unknown.
#[must_use]
pub fn machine() -> Machine {
    let line = |path: &str| fs::read_to_string(path).ok().map(|s| s.trim().to_owned());
    let release = line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let version = line("/proc/sys/kernel/version").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let found = info.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == name));
        found.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
    };
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let useful = ["fma", "avx2", "avx512f", "asimd", "hypervisor"];
    let present: Vec<&str> = flags.split(' ').filter(|f| useful.contains(f)).collect();
    let mut hosted = Vec::new();
    if present.contains(&"hypervisor") {
        hosted.push("virtual machine".to_owned());
    }
    if fs::metadata("/.dockerenv").is_ok() || fs::metadata("/run/.containerenv").is_ok() {
        hosted.push("container".to_owned());
    }
    Machine {
        kernel: format!("{release} {version}").trim().to_owned(),
        cpu: field("model name").unwrap_or_else(|| "unknown processor".into()),
        features: present.iter().filter(|f| **f != "hypervisor").map(|f| (*f).to_owned()).collect(),
        cores: allowed_cores().len(),
        hosted,
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_was_found_and_what_to_do() {
        let s = fifo_refusal(80, Errno::EPERM, false, Some(0));
        assert!(s.starts_with("SCHED_FIFO 80 refused: CAP_SYS_NICE is missing and the limit rtprio is 0; running as normal priority. Start with"), "{s}");
        assert!(fifo_refusal(80, Errno::EPERM, true, Some(0)).contains("real-time group"));
        assert!(fifo_refusal(120, Errno::EINVAL, true, None).contains("1 to 99"));
        let s = core_refusal(7, Errno::EINVAL, &[0, 1]);
        assert!(s.contains("core 7") && s.contains("Allowed cores: 0, 1."), "{s}");
        let s = lock_refusal(Errno::ENOMEM, false, Some(65536));
        assert!(
            s.contains("CAP_IPC_LOCK is missing and the limit memlock is 64 KiB") && s.contains("memlock=-1"),
            "{s}"
        );
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused_by_the_kernel_and_the_thread_runs_on() {
        // In its own thread: a granted priority or core must not stick to the test runner.
        let granted =
            std::thread::spawn(|| apply(&CpuRequest { core: Some(1000), priority: None, lock_memory: false }));
        let granted = granted.join().expect("apply never panics");
        assert_eq!((granted.core, granted.refusals.len()), (None, 1));
        assert!(granted.refusals[0].contains("core 1000 refused"), "{}", granted.refusals[0]);
        assert_eq!(granted.policy, "normal priority");
    }

    #[test]
    fn fifo_is_either_confirmed_by_the_kernel_or_refused_in_words() {
        let run = || apply(&CpuRequest { core: None, priority: Some(17), lock_memory: false });
        let granted = std::thread::spawn(run).join().expect("apply never panics");
        if granted.refusals.is_empty() {
            assert!(granted.policy.starts_with("SCHED_FIFO"), "{granted}");
        } else {
            assert!(granted.refusals[0].contains("SCHED_FIFO 17 refused"), "{granted:?}");
            assert_eq!(granted.policy, "normal priority");
        }
    }

    #[test]
    fn nothing_asked_nothing_refused() {
        let granted = apply(&CpuRequest::default());
        assert_eq!((granted.core, granted.locked, granted.refusals.is_empty()), (None, false, true));
        let text = machine().to_string();
        assert!(text.starts_with("kernel ") && machine().cores >= 1, "{text}");
    }
}
