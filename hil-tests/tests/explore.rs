//! tmp
use flyball_hil_tests::{VirtualRun, example};
use flyball_rig::scenario::Plan;
#[test]
fn explore() {
    for plan in [Plan::STEP, Plan::RAMP] {
    let config = example("r101.toml");
    let mut run = VirtualRun::new(&config, plan, 1);
    let mut n = 0u32;
    let mut max = [0.0f64; 2];
    while !run.over() {
        let r = run.scan();
        let p = r.predictions[0];
        let now = r.cycle.now.as_secs_f64();
        if let Some(d) = p.domain { max[0] = max[0].max(d.t2); max[1] = max[1].max(d.spe); }
        for s in &r.samples { println!("{now} {s:?}"); }
        let truth = run.truth();
        if n % 120 == 0 {
            if let Some(d) = p.domain {
                println!("{now:6} T2 {:7.3} ({:.2}) SPE {:7.4} ({:.3}) {:?} {} in {} {:?} F {:.1} T {:.2} T0 {:.1} err {:.4} half {:?} bias {:.4}", d.t2, d.t2_limit, d.spe, d.spe_limit, d.statistic, config.models[0].inputs[d.worst as usize].name, p.in_domain, p.reason, truth.reactor.c_b*0.0+run.rig.with_plc(|p| p.process.feed.flow), truth.reactor.t, run.rig.with_plc(|p| p.process.feed.t0), p.get().unwrap_or(f64::NAN)-truth.reactor.c_b, p.half_width, p.bias);
            }
        }
        n += 1;
    }
    println!("max {max:?}");
    }
}
