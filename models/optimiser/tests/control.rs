//! The horizon against independent answers: a quadratic programme solved by enumeration, loops that must end without offset, and the reactor
//! R-101, whose product first moves the wrong way.

use flyball_core::optimum::{Optimum, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer};
use flyball_engine::testing::Random;
use flyball_optimiser::horizon::testing::{Sizes, columns, linear, optimizer, problem, setup};
use flyball_optimiser::horizon::{Blocks, HorizonOptimizer};

/// Solves a x = b; none when it is singular.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|p, q| a[*p][i].abs().total_cmp(&a[*q][i].abs()))?;
        if a[pivot][i].abs() < 1e-10 {
            return None;
        }
        a.swap(i, pivot);
        b.swap(i, pivot);
        for row in i + 1..n {
            let by = a[row][i] / a[i][i];
            for k in i..n {
                a[row][k] -= by * a[i][k];
            }
            b[row] -= by * b[i];
        }
    }
    for i in (0..n).rev() {
        b[i] = (b[i] - (i + 1..n).map(|k| a[i][k] * b[k]).sum::<f64>()) / a[i][i];
    }
    Some(b)
}

/// Calls `f` with every subset of 0..n of at most `most` members.
fn subsets(n: usize, most: usize, from: usize, chosen: &mut Vec<usize>, f: &mut impl FnMut(&[usize])) {
    f(chosen);
    if chosen.len() < most {
        for next in from..n {
            chosen.push(next);
            subsets(n, most, next + 1, chosen, f);
            chosen.pop();
        }
    }
}

/// Least of 1/2 x'Hx + g'x with a x <= b, by every active set: the optimum is the best feasible one of their stationary points.
fn enumerate(h: &[Vec<f64>], g: &[f64], a: &[Vec<f64>], b: &[f64]) -> Option<(f64, Vec<f64>)> {
    let n = g.len();
    let mut best: Option<(f64, Vec<f64>)> = None;
    subsets(a.len(), n, 0, &mut Vec::new(), &mut |active| {
        let size = n + active.len();
        let mut matrix = vec![vec![0.0; size]; size];
        let mut right = vec![0.0; size];
        for i in 0..n {
            matrix[i][..n].copy_from_slice(&h[i]);
            right[i] = -g[i];
        }
        for (k, row) in active.iter().enumerate() {
            for i in 0..n {
                (matrix[i][n + k], matrix[n + k][i]) = (a[*row][i], a[*row][i]);
            }
            right[n + k] = b[*row];
        }
        let Some(mut x) = solve(matrix, right) else { return };
        x.truncate(n);
        let dot = |row: &[f64]| row.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>();
        if a.iter().zip(b).all(|(row, b)| dot(row) <= b + 1e-9) {
            let cost = 0.5 * (0..n).map(|i| x[i] * dot(&h[i])).sum::<f64>() + dot(g);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, x));
            }
        }
    });
    best
}

const WINDOW: usize = 2;
const STEPS: usize = 10;
const ONE: Sizes = Sizes { mvs: 1, outputs: 1, hidden: 0, window: WINDOW, fed_back: true };

/// A random stable equation of second order: weights of the rows (u, d, y) of the window, oldest first.
fn equation(dice: &mut Random) -> Vec<f64> {
    let mut between = |low: f32, high: f32| f64::from(dice.between(low, high));
    let (fast, slow) = (between(0.1, 0.6), between(0.5, 0.9));
    vec![between(-0.2, 0.4), 0.05, -fast * slow, between(0.1, 0.5), 0.1, fast + slow]
}

#[test]
fn on_a_linear_model_the_plan_is_that_of_the_quadratic_programme() {
    let (mut bound_by_cv, mut bound_by_moves, mut free) = (0, 0, 0);
    for seed in 1..=60 {
        let mut dice = Random::new(seed);
        let weights = equation(&mut dice);
        let blocks = Blocks::new(&[1, 1, 2], STEPS).unwrap();
        let blocks = if seed % 2 == 0 { Blocks::new(&[1, 1, 2, 6], STEPS).unwrap() } else { blocks };
        let nv = blocks.len();
        let mut fixed = setup(ONE, "0 - (y0 - price)^2 - 0.05*u0^2", blocks.clone());
        fixed.terminal = f64::from(dice.between(0.0, 0.5));
        let terminal = fixed.terminal;
        let graph = linear(WINDOW, 3, &weights, &[0.0]).unwrap();
        let mut horizon = optimizer(&graph, &fixed, columns(ONE, 10.0)).unwrap();
        let rows: Vec<[f64; 3]> = (0..=WINDOW).map(|_| [0; 3].map(|_| f64::from(dice.between(-0.5, 0.5)))).collect();
        let plant = f64::from(dice.between(-0.5, 0.5));
        rows.iter().for_each(|row| horizon.observe(row, &[Some(plant)]));
        let (now, target) = (rows[WINDOW][0], f64::from(dice.between(-1.0, 1.0)));
        let mut question = problem(ONE, &[now], f64::from(dice.between(0.05, 0.6)));
        question.inputs[1] = rows[WINDOW][1];
        question.inputs[2] = plant;
        question.prices[0] = target;

        // The same by hand: rows with the MV that stood during them, and the bias of now.
        let past: Vec<[f64; 3]> = rows.windows(2).map(|two| [two[1][0], two[0][1], two[0][2]]).collect();
        let answer = |two: &[[f64; 3]]| two.concat().iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>();
        let bias = plant - answer(&past[past.len() - 2..]);
        let simulate = |plan: &[f64]| -> Vec<f64> {
            let (mut rows, mut y) = (past.clone(), vec![plant]);
            for step in 0..STEPS {
                rows.push([plan[blocks.of(step)], rows_d(&question.inputs), y[step]]);
                y.push(answer(&rows[rows.len() - 2..]) + bias);
            }
            y.split_off(1)
        };
        let rest = simulate(&vec![0.0; nv]);
        let by: Vec<Vec<f64>> = (0..nv)
            .map(|v| {
                let unit: Vec<f64> = (0..nv).map(|i| f64::from(u8::from(i == v))).collect();
                simulate(&unit).iter().zip(&rest).map(|(y, r)| y - r).collect()
            })
            .collect();
        question.cvs[0].high = simulate(&vec![now; nv])[0].max(0.0) + f64::from(dice.between(0.0, 1.0));
        let high = question.cvs[0].high;
        let (mut h, mut g) = (vec![vec![0.0; nv]; nv], vec![0.0; nv]);
        let mut constant = 0.0;
        let mut square = |weight: f64, slope: &dyn Fn(usize) -> f64, rest: f64| {
            for i in 0..nv {
                g[i] += 2.0 * weight * slope(i) * rest;
                (0..nv).for_each(|k| h[i][k] += 2.0 * weight * slope(i) * slope(k));
            }
            constant += weight * rest * rest;
        };
        for step in 0..STEPS {
            square(0.1, &|i| by[i][step], rest[step] - target);
            square(0.005, &|i| f64::from(u8::from(blocks.of(step) == i)), 0.0);
        }
        let (last, before) = (STEPS - 1, STEPS - 1 - STEPS / 4);
        square(terminal, &|i| by[i][last] - by[i][before], rest[last] - rest[before]);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let whole = question.mvs[0].move_up;
        for v in 0..nv {
            for sign in [1.0, -1.0] {
                let mut row = vec![0.0; nv];
                row[v] = sign;
                a.push(row.clone());
                b.push(1.0);
                let before = if v == 0 { sign * now } else { 0.0 };
                if v > 0 {
                    row[v - 1] = -sign;
                }
                a.push(row);
                b.push(whole + before);
            }
        }
        for step in 0..STEPS {
            a.push((0..nv).map(|v| by[v][step]).collect());
            b.push(high - rest[step]);
        }
        let Some((least, best)) = enumerate(&h, &g, &a, &b) else { continue };
        let mut optimum = Optimum::default();
        horizon.optimise(&question, &mut optimum, &mut NoProbe);
        let plan: Vec<f64> = horizon.plan().flatten().copied().collect();
        let cost: f64 = (0..nv).map(|i| plan[i] * (g[i] + 0.5 * (0..nv).map(|k| h[i][k] * plan[k]).sum::<f64>())).sum();
        let says = format!(
            "seed {seed}: {plan:?} costs {} against {best:?} {}\n{optimum:?}",
            cost + constant,
            least + constant
        );
        // Both sides: a limit may be overstepped by what counts as none.
        assert!((cost - least).abs() <= 2e-4 * (1.0 + (least + constant).abs()), "{says}");
        assert!(plan.iter().zip(&best).all(|(p, b)| (p - b).abs() < 0.02), "{says}");
        let touches = |row: usize| (a[row].iter().zip(&best).map(|(a, x)| a * x).sum::<f64>() - b[row]).abs() < 1e-7;
        bound_by_cv += u32::from((4 * nv..a.len()).any(touches));
        bound_by_moves += u32::from((0..2 * nv).any(|k| touches(2 * k + 1)));
        free += u32::from(!(0..a.len()).any(touches));
    }
    println!("{bound_by_cv} bound by the CV, {bound_by_moves} by moves, {free} by nothing");
    assert!(bound_by_cv >= 5 && bound_by_moves >= 10 && free >= 3);
}

fn rows_d(inputs: &[f64]) -> f64 {
    inputs[1]
}

/// Closes the loop on a plant that gives the next output from (input, last output, step); returns inputs and outputs of all steps.
fn close(
    horizon: &mut HorizonOptimizer,
    sizes: Sizes,
    high: f64,
    target: f64,
    steps: usize,
    mut plant: impl FnMut(f64, f64, usize) -> f64,
) -> Vec<(f64, f64)> {
    let (mut u, mut y, mut seen) = (0.0, 0.0, Vec::new());
    let mut optimum = Optimum::default();
    for step in 0..steps {
        let mut question = problem(sizes, &[u], 0.1);
        question.cvs[0].high = high;
        question.prices[0] = target;
        if sizes.fed_back {
            question.inputs[2] = y;
        }
        horizon.observe(&question.inputs, &[Some(y)]);
        horizon.optimise(&question, &mut optimum, &mut NoProbe);
        assert!((optimum.mvs[0].next - u).abs() <= 0.1 + 1e-12);
        u = optimum.mvs[0].next;
        y = plant(u, y, step);
        seen.push((u, y));
    }
    seen
}

/// A model of first order with gain 1, as an equation of its own output and as a finite response to the input alone.
fn models() -> [(Sizes, Vec<f64>); 2] {
    let narx = Sizes { mvs: 1, outputs: 1, hidden: 0, window: 2, fed_back: true };
    let response = Sizes { window: 20, fed_back: false, ..narx };
    let taps = (0..20).rev().flat_map(|ago| [0.2 * 0.8_f64.powi(ago), 0.0]).collect();
    [(narx, vec![0.0, 0.0, 0.0, 0.2, 0.0, 0.8]), (response, taps)]
}

#[test]
fn a_plant_that_differs_from_its_model_ends_on_target_and_on_the_limit_without_offset() {
    // Gain 1.3 instead of 1, another time constant, and a constant disturbance that changes on the way.
    let plant = |u: f64, y: f64, step: usize| 0.75 * y + 0.25 * (1.3 * u + if step < 60 { 0.15 } else { -0.25 });
    for (sizes, weights) in models() {
        let new = |objective: &str| {
            let mut fixed = setup(sizes, objective, Blocks::new(&[1, 1, 2, 4], 12).unwrap());
            fixed.base.mvs[0].move_cost = 0.003;
            optimizer(&linear(sizes.window, sizes.columns(), &weights, &[0.0]).unwrap(), &fixed, columns(sizes, 5.0))
                .unwrap()
        };
        let on_target = close(&mut new("0 - (y0 - price)^2"), sizes, f64::INFINITY, 0.5, 140, plant);
        let on_limit = close(&mut new("price*u0"), sizes, 0.6, 1.0, 140, plant);
        for before_change in [59, 139] {
            let (target, limit) = (on_target[before_change].1, on_limit[before_change].1);
            assert!((target - 0.5).abs() < 1e-3, "{sizes:?}: {target} instead of the target 0.5");
            assert!((limit - 0.6).abs() < 1e-3, "{sizes:?}: {limit} instead of the limit 0.6");
        }
    }
}

/// R-101 at constant duty, per step of 30 s: concentrations of A and B in mol/l, temperatures of reactor and jacket in degC. Equations and
/// parameters as in [`flyball_optimiser::testing::r101`]; 1 s Runge-Kutta steps.
fn reactor(state: [f64; 4], feed: f64, duty: f64) -> [f64; 4] {
    let slope = |x: [f64; 4]| -> [f64; 4] {
        let kelvin = x[2] + 273.15;
        let (k1, k3, d) = (1.287e12 * (-9758.3 / kelvin).exp(), 9.043e9 * (-8560.0 / kelvin).exp(), feed / 10.0);
        let (heat, wall) = (0.9342 * 3.01, 4032.0 * 0.215);
        let reaction = k1 * x[0] * 4.2 - k1 * x[1] * 11.0 - k3 * x[0] * x[0] * 41.85;
        [
            d * (5.10 - x[0]) - k1 * x[0] - k3 * x[0] * x[0],
            -d * x[1] + k1 * x[0] - k1 * x[1],
            d * (116.0 - x[2]) - reaction / heat + wall / (heat * 10.0) * (x[3] - x[2]),
            (-duty + wall * (x[2] - x[3])) / 10.0,
        ]
    };
    let plus = |x: [f64; 4], h: f64, d: [f64; 4]| std::array::from_fn(|i| x[i] + h * d[i]);
    let h = 1.0 / 3600.0;
    (0..30).fold(state, |x, _| {
        let a = slope(x);
        let b = slope(plus(x, h / 2.0, a));
        let c = slope(plus(x, h / 2.0, b));
        let d = slope(plus(x, h, c));
        plus(plus(plus(plus(x, h / 6.0, a), h / 3.0, b), h / 3.0, c), h / 6.0, d)
    })
}

#[test]
fn the_product_of_r101_first_moves_the_wrong_way_and_that_fools_only_a_short_horizon() {
    // Rest at 140 l/h: whatever the start, after some hours at constant duty.
    let duty = 4223.0;
    let rest = (0..600).fold([2.1, 1.09, 114.0, 109.0], |x, _| reactor(x, 140.0, duty));
    let step = (0..20).fold((rest, rest[1]), |(x, least), _| {
        let x = reactor(x, 160.0, duty);
        (x, least.min(x[1]))
    });
    assert!(
        step.1 < rest[1] - 0.01 && step.0[1] > rest[1] + 0.003,
        "{} falls to {}, then rises to {}",
        rest[1],
        step.1,
        step.0[1]
    );

    // An equation of third order in feed (in 20 l/h from 140) and product (in 0.01 mol/l from rest), fitted to a test on the reactor.
    const ORDER: usize = 3;
    let feed = |u: f64| 140.0 + 20.0 * u;
    let product = |x: [f64; 4]| (x[1] - rest[1]) / 0.01;
    let mut dice = Random::new(7);
    let (mut x, mut u) = (rest, 0.0);
    let mut rows: Vec<[f64; 3]> = Vec::new();
    let (mut normal, mut right) = (vec![vec![0.0; 2 * ORDER]; 2 * ORDER], vec![0.0; 2 * ORDER]);
    for k in 0..3000 {
        if k % 4 == 0 {
            u = f64::from(dice.between(-0.5, 0.8));
        }
        rows.push([u, 0.0, product(x)]);
        x = reactor(x, feed(u), duty);
        if rows.len() >= ORDER {
            let regressor: Vec<f64> = rows[rows.len() - ORDER..].iter().flat_map(|row| [row[0], row[2]]).collect();
            for i in 0..2 * ORDER {
                (0..2 * ORDER).for_each(|j| normal[i][j] += regressor[i] * regressor[j]);
                right[i] += regressor[i] * product(x);
            }
        }
    }
    let found = solve(normal, right).unwrap();
    let weights: Vec<f64> = found.chunks(2).flat_map(|two| [two[0], 0.0, two[1]]).collect();

    let sizes = Sizes { mvs: 1, outputs: 1, hidden: 0, window: ORDER, fed_back: true };
    let run = |blocks: Blocks| {
        let fixed = setup(sizes, "0 - (y0 - price)^2", blocks);
        let mut horizon =
            optimizer(&linear(ORDER, 3, &weights, &[0.0]).unwrap(), &fixed, columns(sizes, 20.0)).unwrap();
        let mut x = rest;
        close(&mut horizon, sizes, f64::INFINITY, 0.4, 120, |u, _, _| {
            x = reactor(x, feed(u), duty);
            product(x)
        })
    };
    // 10 minutes are enough to see the rise: the feed goes up through the fall, and the product arrives.
    let long = run(Blocks::new(&[1, 2, 5, 12], 20).unwrap());
    let least = long.iter().map(|(_, y)| *y).fold(0.0, f64::min);
    let (u, y) = long[119];
    assert!(u > 0.05 && (y - 0.4).abs() < 0.01 && least < -0.02, "feed {u} product {y}, least {least}");
    assert!(long[4].0 >= 0.0 && long[20].0 > 0.0, "{long:?}");
    // One minute is not.
    let short = run(Blocks::new(&[1], 2).unwrap());
    assert!(short[119].0 < -0.3 && short[119].1 < 0.3, "{:?}", short[119]);
}

#[test]
fn the_answer_says_what_holds_and_what_it_is_worth() {
    let (sizes, weights) = models()[0].clone();
    let graph = linear(2, 3, &weights, &[0.0]).unwrap();
    let fixed = setup(sizes, "price*u0", Blocks::new(&[1, 1, 2, 4], 12).unwrap());
    let mut horizon = optimizer(&graph, &fixed, columns(sizes, 5.0)).unwrap();
    (0..3).for_each(|_| horizon.observe(&[0.0; 3], &[Some(0.0)]));
    let solve = |horizon: &mut HorizonOptimizer, high: f64, limit: f64, now: f64| {
        let mut question = problem(sizes, &[now], 0.2);
        (question.cvs[0].high, question.mvs[0].high) = (high, limit);
        let mut optimum = Optimum::default();
        horizon.optimise(&question, &mut optimum, &mut NoProbe);
        optimum
    };
    use flyball_config::CvId;
    use flyball_core::optimum::HeldBy;
    let first = solve(&mut horizon, f64::INFINITY, 1.0, 0.0);
    assert_eq!((first.mvs[0].held_by, first.mvs[0].next), (HeldBy::Rate, 0.2), "{first:?}");
    let at_limit = solve(&mut horizon, f64::INFINITY, 0.1, 0.0);
    assert_eq!(at_limit.mvs[0].held_by, HeldBy::OperatorHigh, "{at_limit:?}");
    assert!((at_limit.mvs[0].worth - 1.0).abs() < 0.01, "each EU of the limit is worth one price: {at_limit:?}");
    let by_cv = solve(&mut horizon, 0.1, 1.0, 0.0);
    assert!(by_cv.cvs[0].active && !by_cv.cvs[0].given_up && by_cv.cvs[0].violation < 2e-4, "{by_cv:?}");
    // Against the gain of a limit that is a little wider.
    let gained = (solve(&mut horizon, 0.11, 1.0, 0.0).objective_optimum - by_cv.objective_optimum) / 0.01;
    assert!((by_cv.cvs[0].worth / gained - 1.0).abs() < 0.1, "{} against {gained}", by_cv.cvs[0].worth);
    assert!(matches!(by_cv.mvs[0].held_by, HeldBy::Cv(CvId(0)) | HeldBy::Rate), "{by_cv:?}");
    let cannot = solve(&mut horizon, -2.0, 1.0, 0.0);
    assert_eq!(cannot.status, SolveStatus::InfeasibleRelaxed);
    assert!(cannot.cvs[0].given_up && cannot.mvs[0].next < 0.0, "{cannot:?}");
}
