//! `cargo bench -p flyball-models`: inference beside tract, ONNX Runtime and the machine's ceiling, with the allocations of each run.

fn main() -> Result<(), String> {
    let cases = flyball_inference_bench::zoo::cases()?;
    flyball_inference_bench::run(&cases, Some(&|work| allocation_counter::measure(work).count_total))?;
    Ok(())
}
