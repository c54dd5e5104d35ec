//! Which layer of a track a subscriber gets: what is wanted, what flows, and what it has. A switch happens only at a
//! keyframe of the new layer; this object says where to and whether one is awaited.

use crate::api::LayerIndex;

/// One bit a layer, the lowest bit the lowest layer.
pub type LayerMask = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Paused,
    UpTo(LayerIndex),
}

#[derive(Clone, Copy, Debug)]
pub struct LayerChoice {
    limit: Limit,
    current: Option<LayerIndex>,
}

impl Default for LayerChoice {
    fn default() -> Self {
        Self { limit: Limit::UpTo(LayerIndex::MAX), current: None }
    }
}

impl LayerChoice {
    pub fn set_limit(&mut self, layer: Option<LayerIndex>) {
        self.limit = layer.map_or(Limit::Paused, Limit::UpTo);
    }

    /// What is being sent.
    #[must_use]
    pub fn current(&self) -> Option<LayerIndex> {
        self.current
    }

    pub fn set_current(&mut self, layer: Option<LayerIndex>) {
        self.current = layer;
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.limit == Limit::Paused
    }

    /// What should be sent: the highest that flows within the limit.
    #[must_use]
    pub fn target(&self, flowing: LayerMask) -> Option<LayerIndex> {
        let Limit::UpTo(limit) = self.limit else { return None };
        let allowed = if limit >= 7 { LayerMask::MAX } else { (1 << (limit + 1)) - 1 };
        let layers = flowing & allowed;
        (layers != 0).then(|| (LayerMask::BITS - 1 - layers.leading_zeros()) as LayerIndex)
    }

    /// The layer whose next keyframe is awaited.
    #[must_use]
    pub fn awaited(&self, flowing: LayerMask) -> Option<LayerIndex> {
        self.target(flowing).filter(|target| self.current != Some(*target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aims_at_the_highest_flowing_layer_within_the_limit() {
        for (limit, flowing, target) in [
            (Some(7), 0b111, Some(2)),
            (Some(1), 0b111, Some(1)),
            (Some(2), 0b011, Some(1)),
            (Some(0), 0b110, None),
            (Some(255), 0b1000_0000, Some(7)),
            (None, 0b111, None),
            (Some(2), 0, None),
        ] {
            let mut choice = LayerChoice::default();
            choice.set_limit(limit);
            assert_eq!(choice.target(flowing), target, "{limit:?} {flowing:b}");
        }
    }

    #[test]
    fn awaits_a_keyframe_until_the_target_is_reached() {
        let mut choice = LayerChoice::default();
        assert_eq!(choice.awaited(0b11), Some(1));
        choice.set_current(Some(0));
        assert_eq!(choice.awaited(0b11), Some(1));
        choice.set_current(Some(1));
        assert_eq!(choice.awaited(0b11), None);
        assert_eq!(choice.awaited(0b01), Some(0), "the layer dried up");
        choice.set_limit(None);
        assert_eq!(choice.awaited(0b11), None);
    }
}
