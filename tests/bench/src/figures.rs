//! Many runs in one figure: the median, and how far they lie apart.

use std::fmt;
use std::time::Duration;

use indicatif::HumanCount;

use crate::run::Cost;
use crate::subject::Subject;

/// The median of some runs, the smallest and the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the runs lie below it.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of these values. `None` where there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => (values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0,
            _ => *values.get(middle)?,
        };
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }
}

/// All runs of one subject over one transport.
#[derive(Debug, Clone)]
pub struct Series {
    /// Whose.
    pub subject: Subject,
    /// Over which transport it asked the source.
    pub transport: &'static str,
    /// What they cost, in order.
    pub costs: Vec<Cost>,
}

impl Series {
    /// The spread of one figure.
    pub fn spread(&self, figure: impl Fn(&Cost) -> f64) -> Spread {
        let nothing = Spread { median: f64::NAN, least: f64::NAN, most: f64::NAN };
        Spread::of(self.costs.iter().map(figure)).unwrap_or(nothing)
    }
}

/// The table of one transport, with what each costs next to the product. The product comes first.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [Series]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | events per CPU-second | spread | the collector's are | events per second | peak MB | first request ms | servers busy | changed |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        let own = self.0.first().map(|own| own.spread(|cost| cost.effort.per_cpu_second()).median);
        for series in self.0 {
            let efficiency = series.spread(|cost| cost.effort.per_cpu_second());
            let ratio = own.map_or(f64::NAN, |own| own / efficiency.median);
            writeln!(
                f,
                "| {} | {} | {} to {} | {ratio:.2} x | {} | {:.1} | {:.0} | {:.0} % | {} |",
                series.subject.name(),
                count(efficiency.median),
                count(efficiency.least),
                count(efficiency.most),
                count(series.spread(|cost| cost.effort.per_second()).median),
                series.spread(|cost| cost.effort.peak_in_megabytes()).median,
                series.spread(|cost| milliseconds(cost.first_request)).median,
                series.spread(|cost| cost.servers_busy() * 100.0).median,
                count(series.spread(|cost| cost.changed as f64).median),
            )?;
        }
        Ok(())
    }
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A number of events, with a comma between thousands.
pub fn count(number: f64) -> HumanCount {
    HumanCount(number.max(0.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
    }
}
