//! Adjoints through loops: a second loop that runs the trips in reverse.
//!
//! One trip of the second loop takes the adjoints of the states after a trip to those before it. What it needs of the first loop's values is
//! *saved*: the first loop stacks it, so that nothing is computed twice. What is the same in every trip is computed once, outside. Inputs that
//! stay collect their adjoint in a state of the second loop.

use std::sync::Arc;

use crate::gradient::backward::Backward;
use crate::gradient::trip::{Seed, Trip};
use crate::graph::{GraphError, Node};
use crate::index::{IndexMap, elements};
use crate::op::Scan;

impl Backward {
    /// A loop whose parts have these adjoints.
    pub(super) fn scan(
        &mut self,
        node: Node,
        scan: &Scan,
        inputs: &[Node],
        adjoints: &[Option<Node>],
    ) -> Result<(), GraphError> {
        let leads = self.body_leads(node);
        let mut carried: Vec<bool> = (0..scan.states).map(|i| leads[i] && adjoints[i].is_some()).collect();
        // An adjoint that reaches another state makes that state one to carry, which may reach more.
        let mut trip = loop {
            let trip = Trip::new(scan, self.seeds, &leads, &carried, self.stacked_seeds(scan, adjoints)?)?;
            let is_new = |i: &usize| leads[*i] && !carried[*i] && trip.adjoint(*i).is_some();
            let new: Vec<usize> = (0..scan.states).filter(is_new).collect();
            if new.is_empty() {
                break trip;
            }
            new.into_iter().for_each(|i| carried[i] = true);
        };

        let stay = scan.states + scan.scanned;
        let found = |i: &usize| self.wants(inputs[*i]) && trip.adjoint(*i).is_some();
        let scanned: Vec<usize> = (scan.states..stay).filter(found).collect();
        let collected: Vec<usize> = (stay..inputs.len()).filter(found).collect();
        let states: Vec<usize> = (0..scan.states).filter(|i| carried[*i]).collect();

        let mut results = Vec::new();
        for i in &states {
            results.push(trip.carried(*i)?);
        }
        for i in &collected {
            results.push(trip.collected(*i)?);
        }
        results.extend(scanned.iter().filter_map(|i| trip.adjoint(*i)));
        if results.is_empty() {
            return Ok(());
        }

        let reads = trip.reads(&results);
        let mut fed = Vec::new();
        for i in states.iter().chain(&collected) {
            let shape = self.graph.shape(inputs[*i]).to_vec();
            let last = if *i < scan.states { adjoints[*i] } else { None };
            fed.push(match last {
                Some(adjoint) => self.widen(adjoint, &shape)?,
                None => self.zeros(&shape)?,
            });
        }
        let mut slices = Vec::new();
        if !reads.saved.is_empty() {
            slices = self.graph.stack_more(node, Arc::new(trip.first_body(&reads.saved)?))?;
        }
        let outer = |inner: &Node| scan.body.inputs().iter().position(|input| input == inner).map(|i| inputs[i]);
        slices.extend(reads.scanned.iter().filter_map(outer));
        for slice in &mut slices {
            let reversed: Vec<usize> = (0..scan.trips).rev().collect();
            *slice = self.graph.gather(*slice, 0, &reversed)?;
        }
        slices.extend(trip.scanned_seeds());
        let fixed = trip.outside(&mut self.graph, inputs, &reads.fixed)?;
        let body = Arc::new(trip.second_body(&reads, &results)?);
        let parts = self.graph.scan(body, scan.trips, &fed, &slices, &fixed)?;
        for (i, part) in states.iter().chain(&collected).zip(&parts) {
            self.contribute(inputs[*i], *part);
        }
        for (i, part) in scanned.iter().zip(&parts[fed.len()..]) {
            let adjoint = self.turned(*part, 0)?;
            self.contribute(inputs[*i], adjoint);
        }
        Ok(())
    }

    /// The adjoints of stacked outputs as a trip sees them: output of the body, shape per trip, what feeds it.
    fn stacked_seeds(
        &mut self,
        scan: &Scan,
        adjoints: &[Option<Node>],
    ) -> Result<Vec<(usize, Vec<usize>, Seed)>, GraphError> {
        let mut seeds = Vec::new();
        for (i, adjoint) in adjoints.iter().enumerate().skip(scan.states) {
            let Some(adjoint) = *adjoint else { continue };
            let narrow = self.narrow(adjoint);
            let shape = self.wide(&narrow[1..]);
            let seed = if narrow[0] == scan.trips {
                Seed::Scanned(self.turned(adjoint, self.front())?)
            } else {
                Seed::Fixed(self.graph.reshape(adjoint, &shape)?)
            };
            seeds.push((i, shape, seed));
        }
        Ok(seeds)
    }

    /// Trips in reverse order, which are axis 0 or 1 of x. With a seed axis the two are exchanged.
    fn turned(&mut self, x: Node, trips_axis: usize) -> Result<Node, GraphError> {
        let own = self.graph.shape(x).to_vec();
        let trips = own[trips_axis];
        if self.seeds.is_none() {
            let reversed: Vec<usize> = (0..trips).rev().collect();
            return self.graph.gather(x, 0, &reversed);
        }
        let size = elements(&own[2..]);
        let shape = [&[own[1], own[0]], &own[2..]].concat();
        let map = IndexMap::from_fn(&[own[1], own[0], size], 0.0, |at| {
            let (mut first, mut second) = (at[1], at[0]);
            let trip = if trips_axis == 0 { &mut first } else { &mut second };
            *trip = trips - 1 - *trip;
            Some((first * own[1] + second) * size + at[2])
        });
        self.moved(x, &shape, map)
    }
}
