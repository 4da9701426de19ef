//! Linear programs with bounded variables, solved by Clarabel's interior point and then certified: whatever dual values the
//! solver came to, a bound is computed from them that holds exactly, so a solver that stops early costs tightness and never
//! truth.

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver, NonnegativeConeT, ZeroConeT};

/// Whether a row binds from one side or from both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    AtMost,
    Equal,
}

/// One row: a sum of terms and what it may be.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) sense: Sense,
    pub(super) terms: Vec<(usize, f64)>,
    pub(super) limit: f64,
}

/// Whether a variable's upper bound is told to the solver or only used to certify: a bound that never binds costs time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upper {
    Binds,
    Slack,
}

/// Minimise the cost over variables from 0 to their upper bounds, subject to the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    cost: Vec<f64>,
    upper: Vec<(f64, Upper)>,
    rows: Vec<Row>,
}

/// Share by which a certified bound is lowered, for rounding: sums of a million terms lose ten digits of sixteen at most.
const ROUNDING: f64 = 1e-9;
const MOST_ITERATIONS: u32 = 150;

impl Program {
    /// Adds a variable and returns its place.
    pub(super) fn variable(&mut self, cost: f64, upper: f64, binds: Upper) -> usize {
        self.cost.push(cost);
        self.upper.push((upper.max(0.0), binds));
        self.cost.len() - 1
    }

    /// Adds a row and returns its place.
    pub(super) fn row(&mut self, sense: Sense, terms: Vec<(usize, f64)>, limit: f64) -> usize {
        self.rows.push(Row { sense, terms, limit });
        self.rows.len() - 1
    }

    /// Returns the rows' limits.
    pub(super) fn limits(&self) -> Vec<f64> {
        self.rows.iter().map(|row| row.limit).collect()
    }

    /// Solves the program and returns the values of the variables and of the rows.
    pub(super) fn solve(&self) -> Solution {
        let order = |sense| self.rows.iter().enumerate().filter(move |(_, row)| row.sense == sense);
        let order: Vec<usize> = order(Sense::Equal).chain(order(Sense::AtMost)).map(|(index, _)| index).collect();
        let equal = self.rows.iter().filter(|row| row.sense == Sense::Equal).count();
        let mut matrix = Triplets::default();
        for (place, row) in order.iter().enumerate() {
            self.rows[*row].terms.iter().for_each(|(variable, factor)| matrix.add(place, *variable, *factor));
        }
        let mut limits: Vec<f64> = order.iter().map(|row| self.rows[*row].limit).collect();
        self.add_bounds(&mut matrix, &mut limits);
        let cones = [ZeroConeT(equal), NonnegativeConeT(limits.len() - equal)];
        let (rows, columns) = (limits.len(), self.cost.len());
        let Triplets { at, to, value } = matrix;
        let matrix = CscMatrix::new_from_triplets(rows, columns, at, to, value);
        let nothing = CscMatrix::zeros((columns, columns));
        let settings = DefaultSettingsBuilder::default().verbose(false).max_iter(MOST_ITERATIONS).build();
        let solver = settings
            .ok()
            .and_then(|settings| DefaultSolver::new(&nothing, &self.cost, &matrix, &limits, &cones, settings).ok());
        let Some(mut solver) = solver else { return Solution::nothing(columns, self.rows.len()) };
        solver.solve();
        let mut duals = vec![0.0; self.rows.len()];
        for (place, row) in order.iter().enumerate() {
            duals[*row] = solver.solution.z[place];
        }
        Solution { values: solver.solution.x.clone(), duals: self.repaired(duals) }
    }

    fn add_bounds(&self, matrix: &mut Triplets, limits: &mut Vec<f64>) {
        for (variable, (upper, binds)) in self.upper.iter().enumerate() {
            matrix.add(limits.len(), variable, -1.0);
            limits.push(0.0);
            if *binds == Upper::Binds {
                matrix.add(limits.len(), variable, 1.0);
                limits.push(*upper);
            }
        }
    }

    /// Makes dual values feasible: no row that is at most its limit may have a negative one.
    fn repaired(&self, duals: Vec<f64>) -> Vec<f64> {
        let repair = |(row, dual): (&Row, f64)| match row.sense {
            _ if !dual.is_finite() => 0.0,
            Sense::AtMost => dual.max(0.0),
            Sense::Equal => dual,
        };
        self.rows.iter().zip(duals).map(repair).collect()
    }

    /// Returns a lower bound of the cost for rows with these limits, whatever the dual values: for every feasible point x,
    /// `c x >= c x + y (A x - b) = (c + y A) x - y b`, and each variable adds at least its reduced cost times its upper bound
    /// where that is negative (Neumaier and Shcherbina, Mathematical Programming 99, 2004).
    pub(super) fn certify(&self, duals: &[f64], limits: &[f64]) -> f64 {
        let mut reduced = self.cost.clone();
        for (row, dual) in self.rows.iter().zip(duals) {
            row.terms.iter().for_each(|(variable, factor)| reduced[*variable] += dual * factor);
        }
        let slack: f64 = reduced.iter().zip(&self.upper).map(|(cost, (upper, _))| cost.min(0.0) * upper).sum();
        let value: f64 = duals.iter().zip(limits).map(|(dual, limit)| -dual * limit).sum();
        let scale: f64 = duals.iter().zip(limits).map(|(dual, limit)| (dual * limit).abs()).sum();
        slack + value - ROUNDING * scale
    }
}

/// What the solver came to.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    /// Of the variables; good to the solver's tolerance.
    pub(super) values: Vec<f64>,
    /// Of the rows, repaired.
    pub(super) duals: Vec<f64>,
}

impl Solution {
    fn nothing(variables: usize, rows: usize) -> Self {
        Self { values: vec![0.0; variables], duals: vec![0.0; rows] }
    }
}

/// A sparse matrix, entry by entry.
#[derive(Default)]
struct Triplets {
    at: Vec<usize>,
    to: Vec<usize>,
    value: Vec<f64>,
}

impl Triplets {
    fn add(&mut self, row: usize, column: usize, value: f64) {
        self.at.push(row);
        self.to.push(column);
        self.value.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// min x + 2y, x + y >= 3, x <= 2: x = 2, y = 1, cost 4.
    fn small() -> Program {
        let mut program = Program::default();
        let x = program.variable(1.0, 2.0, Upper::Binds);
        let y = program.variable(2.0, 10.0, Upper::Slack);
        program.row(Sense::AtMost, vec![(x, -1.0), (y, -1.0)], -3.0);
        program
    }

    #[test]
    fn a_small_program_is_solved_and_certified() {
        let (program, solution) = (small(), small().solve());
        assert!((solution.values[0] - 2.0).abs() < 1e-6 && (solution.values[1] - 1.0).abs() < 1e-6);
        let bound = program.certify(&solution.duals, &program.limits());
        assert!(bound <= 4.0 && bound > 4.0 - 1e-6, "{bound}");
    }

    #[test]
    fn a_bound_from_any_dual_values_holds() {
        let program = small();
        for dual in [0.0, 0.5, 1.0, 1.9, 2.0, 2.1, 5.0, 100.0] {
            assert!(program.certify(&[dual], &program.limits()) <= 4.0, "{dual}");
        }
    }

    #[test]
    fn other_limits_are_bounded_by_the_same_dual_values() {
        let (program, solution) = (small(), small().solve());
        // x + y >= 5 costs 2 + 2 * 3; the dual value is that of y, so the bound is tight.
        let bound = program.certify(&solution.duals, &[-5.0]);
        assert!(bound <= 8.0 && bound > 8.0 - 1e-5, "{bound}");
    }
}
