//! `cargo bench -p flyball-hil-tests`: the scan alone with its allocations, and wake-up lateness beside a bare absolute sleep.

fn main() -> Result<(), flyball::error::StartError> {
    flyball::bench::header();
    flyball::bench::scan(Some(&|work| allocation_counter::measure(work).count_total))?;
    flyball::bench::wakeup()
}
