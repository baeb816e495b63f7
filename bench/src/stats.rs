//! The two averages of the tables.

/// The middle value, or the mean of the two in the middle; none of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The mean of ratios, all of them positive: half as fast here and twice as fast there is 1.
/// None of nothing.
pub(crate) fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_in_any_order() {
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 100.0, 2.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_geometric_mean_lets_opposite_ratios_cancel_out() {
        for (ratios, mean) in [(&[0.5, 2.0][..], 1.0), (&[0.25, 1.0], 0.5), (&[0.9], 0.9)] {
            assert!((geometric_mean(ratios).unwrap() - mean).abs() < 1e-12, "{ratios:?}");
        }
        assert_eq!(geometric_mean(&[]), None);
    }
}
