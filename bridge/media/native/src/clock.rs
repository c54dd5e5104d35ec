//! The relay's clocks: monotonic time, wall time, and the CPU time of the calling thread.

/// Microseconds of CLOCK_MONOTONIC: the clock that Python's `time.monotonic` reads.
#[must_use]
pub fn now_us() -> u64 {
    read_us(libc::CLOCK_MONOTONIC)
}

/// CPU time, user and system, that the calling thread has used so far.
#[must_use]
pub fn thread_cpu_us() -> u64 {
    read_us(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Microseconds of the wall clock, which the kernel stamps datagrams with. It may be set back and forth.
#[must_use]
pub fn wall_us() -> u64 {
    read_us(libc::CLOCK_REALTIME)
}

/// Sleeps so long, and as much longer as the system's timers are coarse.
pub fn nap_us(length_us: u64) {
    std::thread::sleep(std::time::Duration::from_micros(length_us));
}

fn read_us(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to; both clocks exist on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let (start, start_cpu) = (now_us(), thread_cpu_us());
        while thread_cpu_us() < start_cpu + 2_000 {
            std::hint::spin_loop();
        }
        assert!(now_us() >= start + 1_999);
    }
}
