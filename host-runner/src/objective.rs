//! What an adapter is trained to answer: what labels are, and what is minimised.

use anyhow::{Context, Result};
use clap::ValueEnum;
use he_lora::reference::Loss;
use serde::{Deserialize, Serialize};

/// What labels are, and what is minimised.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Labels are classes: the cross-entropy of the softmax of scores
    #[default]
    CrossEntropy,
    /// Labels are classes: the squared differences of scores from 1 for the label and 0 for other classes
    Squared,
    /// Labels are real numbers in -1 to 1: the squared difference of the first score; other scores stay 0
    SquaredReal,
}

impl Objective {
    /// What training minimises.
    #[must_use]
    pub const fn loss(self) -> Loss {
        match self {
            Self::CrossEntropy => Loss::CrossEntropy,
            Self::Squared | Self::SquaredReal => Loss::Squared,
        }
    }

    /// Whether the first score is the answer, and not the class of the largest.
    #[must_use]
    pub const fn is_real(self) -> bool {
        matches!(self, Self::SquaredReal)
    }

    /// What a label's text asks of each of `classes` scores.
    ///
    /// # Errors
    /// If it is not a label; the message names it and what it could be.
    pub fn label(self, text: &str, classes: usize) -> Result<Vec<f64>> {
        let mut label = vec![0.0; classes];
        if self.is_real() {
            let number = text.parse().ok().filter(|y| (-1.0..=1.0).contains(y));
            let first = label.first_mut().context("a model without classes")?;
            *first =
                number.with_context(|| format!("the label '{text}'; it is a number in -1 to 1"))?;
            return Ok(label);
        }
        let place = text.parse().ok().and_then(|class: usize| label.get_mut(class));
        *place.with_context(|| format!("the label '{text}'; it is one of 0..{classes}"))? = 1.0;
        Ok(label)
    }

    /// As it is written after `--loss` and in files.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The one of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::value_variants().iter().copied().find(|one| one.name() == name);
        found.with_context(|| format!("'{name}' is no loss of this program"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_what_scores_should_be_and_others_are_refused() {
        for objective in [Objective::CrossEntropy, Objective::Squared] {
            assert_eq!(objective.label("1", 3).unwrap(), [0.0, 1.0, 0.0]);
            for wrong in ["3", "-1", "0.5", "yes"] {
                let error = objective.label(wrong, 3).unwrap_err().to_string();
                assert!(error.contains(&format!("'{wrong}'; it is one of 0..3")), "{error}");
            }
        }
        let real = Objective::SquaredReal;
        assert_eq!(real.label("-0.25", 2).unwrap(), [-0.25, 0.0]);
        assert_eq!(real.label("1", 2).unwrap(), [1.0, 0.0]);
        for wrong in ["1.01", "-2", "NaN", "inf", "yes", ""] {
            let error = real.label(wrong, 2).unwrap_err().to_string();
            assert!(error.contains(&format!("'{wrong}'; it is a number in -1 to 1")), "{error}");
        }
    }

    #[test]
    fn names_are_those_of_files_and_of_the_command_line() {
        for one in Objective::value_variants() {
            assert_eq!(Objective::named(&one.name()).unwrap(), *one);
            assert_eq!(serde_json::to_value(one).unwrap(), one.name());
        }
        assert!(Objective::named("hinge").is_err());
    }
}
