//! A network that OpenCV runs: numbers in, numbers out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use opencv::core::{Mat, Scalar, Vector};
use opencv::dnn;
use opencv::prelude::*;
use zeroize::Zeroizing;

/// One network, ready to run. It works on one input at a time, so each thread needs its own.
pub(crate) struct Network {
    net: dnn::Net,
    outputs: Vector<String>,
    shape: &'static [i32],
}

impl Network {
    /// Reads a model that is part of this program. It takes numbers of this `shape`.
    pub(crate) fn new(onnx: &[u8], shape: &'static [i32]) -> Self {
        let mut net = dnn::read_net_from_onnx_buffer(&Vector::from_slice(onnx)).expect("an embedded model is readable");
        net.set_preferable_backend(dnn::DNN_BACKEND_OPENCV).expect("OpenCV has its own backend");
        let outputs = net.get_unconnected_out_layers_names().expect("a network that was read has outputs");
        Self { net, outputs, shape }
    }

    /// Every output's numbers for an `input` of the model's shape, the outputs in the model's order. OpenCV keeps the last
    /// ones in its own memory, as it does the layers between, until the next input overwrites them.
    pub(crate) fn run(&mut self, input: &[f32]) -> Vec<Zeroizing<Vec<f32>>> {
        let blob = Mat::new_nd_with_data(self.shape, input).expect("callers pass as many numbers as the shape has");
        self.net.set_input(&blob, "", 1.0, Scalar::all(0.0)).expect("the model takes one input");
        let mut results: Vector<Mat> = Vector::new();
        self.net.forward(&mut results, &self.outputs).expect("a model that was read runs");
        let numbers =
            |result: Mat| Zeroizing::new(result.data_typed::<f32>().expect("networks yield 32-bit floats").to_vec());
        results.into_iter().map(numbers).collect()
    }
}

/// Networks that wait for work: as many as threads have worked at once.
pub(crate) struct Idle<T> {
    waiting: Mutex<Vec<T>>,
    make: fn() -> T,
}

impl<T> Idle<T> {
    /// One that has one already, so that a model that cannot be read stops the start and not the work.
    pub(crate) fn new(make: fn() -> T) -> Self {
        Self { waiting: Mutex::new(vec![make()]), make }
    }

    /// Work on one that nobody else has meanwhile.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let waiting = self.waiting().pop();
        let mut one = waiting.unwrap_or_else(self.make);
        let result = work(&mut one);
        self.waiting().push(one);
        result
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<T>> {
        // What a panicking thread held is lost; what lies here is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `pixels` brought to mean 0 and standard deviation 1; those that are `None`, outside the frame, become 0.
pub(crate) fn standardized(pixels: &[Option<f32>]) -> Zeroizing<Vec<f32>> {
    let seen = || pixels.iter().flatten();
    let count = seen().count().max(1) as f32;
    let mean = seen().sum::<f32>() / count;
    let variance = seen().map(|pixel| (pixel - mean) * (pixel - mean)).sum::<f32>() / count;
    // Where there is next to nothing to see, noise must not look like a hand.
    let deviation = variance.sqrt().max(2.0);
    let one = |pixel: &Option<f32>| pixel.map_or(0.0, |pixel| ((pixel - mean) / deviation).clamp(-4.0, 4.0));
    Zeroizing::new(pixels.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand::{CLOSE_LANDMARKS, FINDER, FINDER_SHAPE, LANDMARKS};
    use crate::landmarks::LANDMARK_SHAPE;

    /// The picture that `training/landmarks/export.py` made PyTorch's outputs of.
    fn waves(side: usize) -> Vec<f32> {
        let wave = |i: usize| 2.0 * (0.01 * (i % side) as f32).sin() * (0.07 * (i / side) as f32).cos();
        (0..side * side).map(wave).collect()
    }

    fn agrees(model: &[u8], shape: &'static [i32], fixture: &str) {
        let expected: Vec<Vec<f32>> = serde_json::from_str(fixture).expect("rows of numbers");
        let mut network = Network::new(model, shape);
        for round in 0..2 {
            let outputs = network.run(&waves(shape[3] as usize));
            assert_eq!(outputs.len(), expected.len());
            for (output, expected) in outputs.iter().zip(&expected) {
                let every = (output.len() / 50).max(1);
                for (i, expected) in expected.iter().enumerate() {
                    let apart = (output[i * every] - expected).abs();
                    assert!(apart < 1e-4, "round {round}, number {}: {apart} apart", i * every);
                }
            }
        }
    }

    #[test]
    fn the_finder_says_what_it_said_in_training() {
        agrees(FINDER, FINDER_SHAPE, include_str!("../models/hand-finder-1.json"));
    }

    #[test]
    fn the_landmark_networks_say_what_they_said_in_training() {
        agrees(LANDMARKS, LANDMARK_SHAPE, include_str!("../models/palm-landmarks-1.json"));
        agrees(CLOSE_LANDMARKS, LANDMARK_SHAPE, include_str!("../models/palm-landmarks-close-1.json"));
    }

    #[test]
    fn outside_the_frame_is_grey() {
        assert_eq!(*standardized(&[Some(10.0), None, Some(30.0)]), [-1.0, 0.0, 1.0]);
        assert_eq!(*standardized(&[Some(7.0), Some(7.0)]), [0.0, 0.0]);
    }
}
