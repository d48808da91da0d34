//! The scores of this crate: formulas, sources, names, and what each needs.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::linalg::check_classes;

/// The scores of this crate. In all of them **high means in-distribution**.
///
/// z are the C logits, p = softmax(z), ŷ the class of the largest logit, h the D features that
/// the last linear layer reads, W its weight and b its bias. Parameters have the defaults of
/// [`Parameters`](crate::Parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// Maximum softmax probability, `max p`.
    ///
    /// D. Hendrycks, K. Gimpel, *A Baseline for Detecting Misclassified and Out-of-Distribution
    /// Examples in Neural Networks*, ICLR 2017.
    Msp,
    /// `max z`.
    ///
    /// D. Hendrycks et al., *Scaling Out-of-Distribution Detection for Real-World Settings*, ICML
    /// 2022.
    MaxLogit,
    /// `max z - mean z`: how ODIN ranks for ε = 0 and T → ∞, because
    /// `T (C max softmax(z / T) - 1) → max z - mean z`.
    ///
    /// S. Liang, Y. Li, R. Srikant, *Enhancing the Reliability of Out-of-distribution Image
    /// Detection in Neural Networks*, ICLR 2018.
    MaxMinusMean,
    /// `log Σ exp z`, the negated free energy at T = 1.
    ///
    /// W. Liu, X. Wang, J. Owens, Y. Li, *Energy-based Out-of-distribution Detection*, NeurIPS
    /// 2020.
    Energy,
    /// JointEnergy: `Σ log(1 + exp z)` over the labels, the energies of all labels together. For
    /// multi-label networks, whose labels do not exclude each other (a sigmoid of each).
    ///
    /// H. Wang, W. Liu, A. Bocchieri, Y. Li, *Can multi-label classification networks know what they
    /// don't know?*, NeurIPS 2021.
    JointEnergy,
    /// `Σ p log p`, the negated entropy of the softmax, in nats.
    ///
    /// Used as a score by D. Hendrycks, K. Gimpel, ICLR 2017, and many since.
    Entropy,
    /// `-Σ (p (1 - p))^γ` over the M largest p, the negated generalised entropy; γ = 0.1,
    /// M = min(100, C).
    ///
    /// X. Liu, Y. Lochman, C. Zach, *GEN: Pushing the Limits of Softmax-Based Out-of-Distribution
    /// Detection*, CVPR 2023.
    Gen,
    /// `-min_k KL(p ‖ d_k)`, where d_k is the mean softmax of the training images that the network
    /// takes for class k. Classes that it predicts for none are left out. Logarithms of d_k are
    /// bounded below by that of the least normal number, about -708.
    ///
    /// D. Hendrycks et al., *Scaling Out-of-Distribution Detection for Real-World Settings*, ICML
    /// 2022, who fit on validation images.
    KlMatching,
    /// `max softmax(z / T)` with the T that minimises the negative log-likelihood of the labels.
    /// Needs labels, best of images that the network was not trained on: on images that it has
    /// learnt by heart, T tends to 0, which is an error.
    ///
    /// C. Guo, G. Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern Neural Networks*, ICML
    /// 2017.
    TemperatureScaling,
    /// `-min_k (h - μ_k)ᵀ Σ⁺ (h - μ_k)` with the class means μ_k and the covariance Σ that all
    /// classes share (sum of squares divided by n). Classes without a training image are left
    /// out. Σ⁺ is the pseudoinverse: eigenvalues up to D · 2⁻⁵² times the largest count as 0.
    ///
    /// K. Lee, K. Lee, H. Lee, J. Shin, *A Simple Unified Framework for Detecting
    /// Out-of-Distribution Samples and Adversarial Attacks*, NeurIPS 2018; here on the penultimate
    /// features alone, without their perturbation of the input.
    Mahalanobis,
    /// `-(min_k (h - μ_k)ᵀ Σ⁺ (h - μ_k) - (h - μ)ᵀ Σ₀⁺ (h - μ))` with the mean μ and covariance Σ₀
    /// of all features; the rest as for [`Mahalanobis`](Self::Mahalanobis).
    ///
    /// J. Ren et al., *A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection*, ICML
    /// workshop on uncertainty and robustness in deep learning, 2021.
    RelativeMahalanobis,
    /// MDS++: [`Mahalanobis`](Self::Mahalanobis) of `h / ‖h‖`, in fitting and in scoring.
    ///
    /// M. Müller, M. Hein, *Mahalanobis++: Improving OOD Detection via Feature Normalization*, ICML
    /// 2025.
    MahalanobisPp,
    /// RMDS++: [`RelativeMahalanobis`](Self::RelativeMahalanobis) of `h / ‖h‖`, in fitting and in
    /// scoring.
    ///
    /// M. Müller, M. Hein, *Mahalanobis++: Improving OOD Detection via Feature Normalization*, ICML
    /// 2025.
    RelativeMahalanobisPp,
    /// GDA of DDU: the log density `log Σ π_c N(h; μ_c, Σ_c)` of the features as a mixture of a
    /// Gaussian a class, with the share of the training images π_c, the mean μ_c and the covariance Σ_c
    /// of class c (sum of squares divided by n_c - 1). Classes without a training image are left out. To
    /// all variances the least jitter is added with which every Σ_c can be inverted in numbers of 32
    /// bits: none, or else the least power of ten, from 2⁻²⁴ times the largest mean variance of a Σ_c upwards, by
    /// which the smallest eigenvalue of every Σ_c is certain to be above 2⁻²⁴ of its mean. The authors
    /// try rising powers of ten, from 10⁻³⁰⁸, until a Cholesky decomposition does not fail, which
    /// rounding decides. C · D² is 2²⁷ at most.
    ///
    /// J. Mukhoti, A. Kirsch, J. van Amersfoort, P. H. S. Torr, Y. Gal, *Deep Deterministic
    /// Uncertainty: A New Simple Baseline*, CVPR 2023, arXiv 2102.11582; here of a network that was
    /// trained without their spectral normalisation.
    Gmm,
    /// Negated Euclidean distance of `h / ‖h‖` to the k-th nearest of the normalised features of
    /// the training images; exact. Unless it is set, k is 50, the authors' choice for CIFAR-10 (200
    /// for CIFAR-100, 1000 for ImageNet), but at most a tenth of the images that are kept of the
    /// smallest class that has any. All are kept, or a share that is drawn by hashes of the features
    /// and a seed, as the authors do for ImageNet. Where a class has fewer images than a k that is set, the score may rank
    /// wrongly, and [`Fitted::warnings`](crate::Fitted::warnings) says so.
    ///
    /// Y. Sun, Y. Ming, X. Zhu, Y. Li, *Out-of-Distribution Detection with Deep Nearest Neighbors*,
    /// ICML 2022.
    Knn,
    /// `g · log Σ exp z`, where g is the mean of the k largest `⟨h, eᵢ hᵢ⟩ / (‖h‖ ‖hᵢ‖)` over training
    /// images of features hᵢ and energy eᵢ; k = 10, of all training images. A smaller share of them is
    /// drawn by hashes of their features and a seed. The authors keep 1 % of ImageNet; OpenOOD keeps
    /// 1 % and takes k = 100.
    ///
    /// J. Park, Y. G. Jung, A. B. J. Teoh, *Nearest Neighbor Guidance for Out-of-Distribution
    /// Detection*, ICCV 2023.
    NnGuide,
    /// `h · s_ŷ`, where s_k is the mean of the features of the training images of class k that are
    /// classified correctly; of all that are predicted to be of class k where labels are missing.
    /// 0 where there is no such image.
    ///
    /// J. Zhang et al., *Out-of-Distribution Detection based on In-Distribution Data Patterns
    /// Memorization with Modern Hopfield Energy*, ICLR 2023.
    She,
    /// `λ₂ mean max softmax(W̃ h + b) - D(h) - λ₁ D(W̃ h + b)`, where W̃ are r last layers with
    /// `δ ‖w_c‖ g / ‖g‖` added to each weight w_c, for vectors g of normal numbers. D compares how the
    /// values are distributed over 100 equal bins with how those of the training images are on
    /// average, p: it is `KL(p ‖ q) + KL(q ‖ p)` for the image's density q, smoothed over 4 (features)
    /// or 15 (logits) bins, with 0.01 or 0.025 added to each bin of both. Bins reach from the least to
    /// the largest value of the training images; values outside are left out. r = 100, δ = 1.8,
    /// λ₁ = 2.5, λ₂ = 0.1, as the authors' program for CIFAR-10 with a ResNet-18. Fitted to 2000 images
    /// drawn by a seed; each, and each image that is scored, costs r last layers.
    ///
    /// M. Granz, M. Heurich, T. Landgraf, *WeiPer: OOD Detection using Weight Perturbations of Class
    /// Projections*, NeurIPS 2024.
    WeiperKld,
    /// `log Σ exp z - α ‖R (h - o)‖`, the energy minus the virtual logit. o = -W⁺ b; R projects
    /// on what is orthogonal to the d principal directions of the training features about o, by
    /// the authors' rule d = 1000 for D >= 2048, 512 for D >= 768, else ⌊D / 2⌋; α is the mean of the
    /// largest logits divided by the mean of `‖R (h - o)‖`. For W⁺,
    /// eigenvalues of the smaller of WWᵀ and WᵀW up to min(C, D) · 2⁻⁵² times the largest count as
    /// 0.
    ///
    /// H. Wang, Z. Li, L. Feng, W. Zhang, *ViM: Out-Of-Distribution with Virtual-logit Matching*,
    /// CVPR 2022.
    Vim,
    /// Energy of the logits of `min(h, c)`, where c is the 90 % quantile of all training
    /// activations.
    ///
    /// Y. Sun, C. Guo, Y. Li, *ReAct: Out-of-distribution Detection With Rectified Activations*,
    /// NeurIPS 2021.
    React,
    /// ASH-S: energy of the logits of features of which the least 90 % are set to 0 and the others
    /// multiplied by exp(s₁ / s₂), the sums of features before and after. Made for features that
    /// are not negative (behind a ReLU). Of equal features, those of low index are kept.
    ///
    /// A. Djurisic, N. Bozanic, A. Ashok, R. Liu, *Extremely Simple Activation Shaping for
    /// Out-of-Distribution Detection*, ICLR 2023; 90 % is their choice for ImageNet.
    Ash,
    /// Energy of the logits of `exp(s₁ / s₂) h`, where s₁ is the sum of all features and s₂ that of
    /// the largest 15 %. Made for features that are not negative (behind a ReLU).
    ///
    /// K. Xu, R. Chen, G. Franchi, A. Yao, *Scaling for Training Time and Post-hoc
    /// Out-of-distribution Detection Enhancement*, ICLR 2024.
    Scale,
    /// LTS: `log Σ exp (s₁ / s₂)² z`, where s₁ is the sum of all features and s₂ that of the largest
    /// 5 %, negative ones as 0. Made for features that are not negative (behind a ReLU).
    ///
    /// A. Djurisic, R. Liu, M. Nikolic, *Logit Scaling for Out-of-Distribution Detection*, 2024
    /// (arXiv 2409.01175). That negative features count as 0 is in their program only.
    Lts,
    /// VRA-P: energy of the logits of features that are set to 0 below α and clipped at β, the 60 %
    /// and 90 % quantiles of each feature of the training images. Made for features that are not
    /// negative (behind a ReLU).
    ///
    /// M. Xu, Z. Lian, B. Liu, J. Tao, *VRA: Variational Rectified Activation for
    /// Out-of-distribution Detection*, NeurIPS 2023. The quantiles are their choice for CIFAR-10
    /// with a DenseNet; for ImageNet their program has constants. OpenOOD and pytorch-ood clip at α
    /// instead of setting to 0, and OpenOOD takes quantiles of all features together.
    Vra,
    /// Energy of the logits of `M ∘ W`, where M is 1 for the weights whose contribution `w_cj μ_j`,
    /// with the mean μ of the training features, is above the 90 % quantile of all contributions,
    /// and else 0.
    ///
    /// Y. Sun, Y. Li, *DICE: Leveraging Sparsification for Out-of-Distribution Detection*, ECCV
    /// 2022; 90 % is their choice for CIFAR (70 % for ImageNet).
    Dice,
    /// AdaSCALE-A: [`Scale`](Self::Scale) with a share of features that depends on the image. Energy
    /// of the logits of `exp(r) h`, where r is the sum of all `max(h, 0)` divided by that of the
    /// largest of them, all but the share `p = p_min + (1 - F(Q')) (p_max - p_min)`.
    /// `Q' = λ Q + C_o` says how far the image's largest activations shift when the share o of the
    /// image's entries on which the predicted logit depends least moves by ε along the sign of its
    /// gradient, h̃ being the features then: Q is the sum of `|h̃ - h|` over the share k₁ of the
    /// largest h, C_o that of `max(h̃, 0)` over the share k₂. F is the share of training images
    /// whose Q' is at most that of the image. p_min = 0.8 and p_max = 0.85, the author's choice for
    /// ResNet-50 on ImageNet, λ = 10, k₁ = 0.01, k₂ = 0.05, o = 0.05, ε = 0.5; shares of features and
    /// entries are rounded down, to one at least.
    ///
    /// S. Regmi, *AdaSCALE: Adaptive Scaling for OOD Detection*, arXiv 2503.08023, 2025.
    AdaScaleA,
    /// AdaSCALE-L: energy of the logits `r² z`, with the r of [`AdaScaleA`](Self::AdaScaleA).
    ///
    /// S. Regmi, *AdaSCALE: Adaptive Scaling for OOD Detection*, arXiv 2503.08023, 2025.
    AdaScaleL,
    /// [`React`](Self::React) before the global average pooling: energy of the logits of the mean
    /// over positions of `min(x, c)` of the feature map x, where c is the 90 % quantile of all
    /// training activations there, of which each is rounded to 12 binary digits first.
    ///
    /// Y. Sun, C. Guo, Y. Li, NeurIPS 2021, who clip pooled features; before pooling in pytorch-ood.
    ReactMap,
    /// [`Ash`](Self::Ash) before the global average pooling: of all activations of the feature map
    /// the least 90 % are set to 0, and the others multiplied by exp(s₁ / s₂).
    ///
    /// A. Djurisic et al., ICLR 2023, whose program shapes pooled features; before pooling in
    /// pytorch-ood.
    AshMap,
    /// [`Scale`](Self::Scale) before the global average pooling: s₁ is the sum of all activations of
    /// the feature map and s₂ that of the largest 15 %.
    ///
    /// K. Xu et al., ICLR 2024, whose program sums pooled features; before pooling in pytorch-ood.
    ScaleMap,
    /// RankFeat of the last feature map: energy of the logits of the mean over positions of
    /// `X - σ u vᵀ`, where X holds the map, a row a channel and a column a position, and σ u vᵀ is
    /// the leading term of its singular value decomposition.
    ///
    /// Y. Song, N. Sebe, W. Wang, *RankFeat: Rank-1 Feature Removal for Out-of-distribution
    /// Detection*, NeurIPS 2022, who take the mean of these logits and of those that follow from the
    /// block before, treated alike.
    RankFeat,
    /// MCM: `max softmax(cos / τ)` of the cosines between h and the rows of W, τ = 1. For networks
    /// whose last layer is a matrix of text embeddings (CLIP and its like), whose logits are such
    /// cosines times a logit scale: a softmax of the logits themselves is all but one-hot.
    ///
    /// Y. Ming, Z. Cai, J. Gu, Y. Sun, W. Li, Y. Li, *Delving into Out-of-Distribution Detection with
    /// Vision-Language Representations*, NeurIPS 2022.
    Mcm,
    /// Mean over `c ≠ ŷ` of `(z_ŷ - z_c) / ‖w_ŷ - w_c‖`, the distances to the decision boundaries,
    /// divided by the distance `‖h - μ‖` from the mean of the training features. Classes whose
    /// weights equal those of ŷ have no boundary with it and are left out.
    ///
    /// L. Liu, Y. Qin, *Fast Decision Boundary based Out-of-Distribution Detector*, ICML 2024.
    Fdbd,
    /// `w_ŷ · (h - μ) / ‖h - μ‖ + α ‖h‖₁` with the mean μ of the training features; α = 0.0001.
    ///
    /// L. Liu, Y. Qin, *Detecting Out-of-Distribution Through the Lens of Neural Collapse*, CVPR
    /// 2025. They choose α for each network on validation images; 0.0001 is the value that their
    /// contribution to OpenOOD starts from.
    Nci,
    /// `‖h‖₁ · Σ |p_c - 1 / C|`: the L1 norm of the gradient of `KL(uniform ‖ p)` with respect to W,
    /// in closed form. The authors' program sums over classes where the divergence takes their
    /// mean: C times this.
    ///
    /// R. Huang, A. Geng, Y. Li, *On the Importance of Gradients for Detecting Distributional
    /// Shifts in the Wild*, NeurIPS 2021.
    GradNorm,
}

/// What a score is called and what it needs.
struct Facts {
    name: &'static str,
    title: &'static str,
    source: &'static str,
    /// Reads features, is fitted to training images, reads the last layer.
    needs: [bool; 3],
}

impl Method {
    /// All scores, in the order of the table in the documentation.
    pub const ALL: [Self; 35] = [
        Self::Msp,
        Self::MaxLogit,
        Self::MaxMinusMean,
        Self::Energy,
        Self::JointEnergy,
        Self::Entropy,
        Self::Gen,
        Self::KlMatching,
        Self::TemperatureScaling,
        Self::Mahalanobis,
        Self::RelativeMahalanobis,
        Self::MahalanobisPp,
        Self::RelativeMahalanobisPp,
        Self::Gmm,
        Self::Knn,
        Self::NnGuide,
        Self::She,
        Self::WeiperKld,
        Self::Vim,
        Self::React,
        Self::Ash,
        Self::Scale,
        Self::Lts,
        Self::Vra,
        Self::Dice,
        Self::AdaScaleA,
        Self::AdaScaleL,
        Self::ReactMap,
        Self::AshMap,
        Self::ScaleMap,
        Self::RankFeat,
        Self::Mcm,
        Self::Fdbd,
        Self::Nci,
        Self::GradNorm,
    ];

    /// The name as columns and options spell it, such as `max-logit`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The name for tables, such as `Max logit`.
    pub fn title(self) -> &'static str {
        self.facts().title
    }

    /// First author, venue and year.
    pub fn source(self) -> &'static str {
        self.facts().source
    }

    /// Whether it reads the input of the last linear layer.
    pub fn needs_features(self) -> bool {
        self.facts().needs[0]
    }

    /// Whether it is fitted to training images.
    pub fn needs_training(self) -> bool {
        self.facts().needs[1]
    }

    /// Whether it can be fitted to a network of so many classes and features.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where what it keeps of them would be too large.
    pub fn check_size(self, classes: usize, features: usize) -> Result<(), Error> {
        match self {
            Self::Gmm => check_classes(classes, features),
            _ => Ok(()),
        }
    }

    /// Whether it reads weight and bias of the last linear layer.
    pub fn needs_head(self) -> bool {
        self.facts().needs[2]
    }

    /// Whether it reads the feature map that the features are pooled from.
    pub fn needs_feature_map(self) -> bool {
        matches!(
            self,
            Self::ReactMap | Self::AshMap | Self::ScaleMap | Self::RankFeat
        )
    }

    /// Whether it reads the features of a shifted image, which takes a backward and a second forward
    /// pass.
    pub fn needs_shift(self) -> bool {
        matches!(self, Self::AdaScaleA | Self::AdaScaleL)
    }

    /// Whether it takes a softmax over the logits, or their log-sum-exp, or boundaries between
    /// classes: what classes that exclude each other have, and the labels of a multi-label network
    /// have not.
    pub fn takes_exclusive_classes(self) -> bool {
        !matches!(
            self,
            Self::MaxLogit
                | Self::JointEnergy
                | Self::Mahalanobis
                | Self::RelativeMahalanobis
                | Self::MahalanobisPp
                | Self::RelativeMahalanobisPp
                | Self::Gmm
                | Self::Knn
                | Self::She
                | Self::Nci
        )
    }

    /// Whether it sums over labels that do not exclude each other, which only multi-label networks
    /// have.
    pub fn takes_labels(self) -> bool {
        self == Self::JointEnergy
    }

    /// Whether it cannot be fitted without labels of the training images.
    pub fn needs_labels(self) -> bool {
        self == Self::TemperatureScaling
    }

    /// Whether its authors assume features, or activations before pooling, that are not negative.
    pub(crate) fn assumes_rectified(self) -> bool {
        matches!(
            self,
            Self::React
                | Self::Ash
                | Self::Scale
                | Self::Lts
                | Self::Vra
                | Self::Dice
                | Self::GradNorm
                | Self::ReactMap
                | Self::AshMap
                | Self::ScaleMap
        )
    }

    #[rustfmt::skip]
    fn facts(self) -> Facts {
        const LOGITS: [bool; 3] = [false, false, false];
        const LOGITS_TRAINING: [bool; 3] = [false, true, false];
        const FEATURES: [bool; 3] = [true, false, false];
        const FEATURES_TRAINING: [bool; 3] = [true, true, false];
        const FEATURES_HEAD: [bool; 3] = [true, false, true];
        const ALL: [bool; 3] = [true, true, true];
        const TRAINING_HEAD: [bool; 3] = [false, true, true];
        const HEAD: [bool; 3] = [false, false, true];

        let (name, title, source, needs) = match self {
            Self::Msp => ("msp", "MSP", "Hendrycks & Gimpel, ICLR 2017", LOGITS),
            Self::MaxLogit => ("max-logit", "Max logit", "Hendrycks et al., ICML 2022", LOGITS),
            Self::MaxMinusMean => ("max-minus-mean", "Max minus mean logit", "Liang et al., ICLR 2018 (limit)", LOGITS),
            Self::Energy => ("energy", "Energy", "Liu et al., NeurIPS 2020", LOGITS),
            Self::JointEnergy => ("joint-energy", "JointEnergy", "Wang et al., NeurIPS 2021", LOGITS),
            Self::Entropy => ("entropy", "Entropy", "Hendrycks & Gimpel, ICLR 2017", LOGITS),
            Self::Gen => ("gen", "GEN", "Liu et al., CVPR 2023", LOGITS),
            Self::KlMatching => ("kl-matching", "KL matching", "Hendrycks et al., ICML 2022", LOGITS_TRAINING),
            Self::TemperatureScaling => ("temperature-scaling", "Temperature scaling", "Guo et al., ICML 2017", LOGITS_TRAINING),
            Self::Mahalanobis => ("mahalanobis", "Mahalanobis", "Lee et al., NeurIPS 2018", FEATURES_TRAINING),
            Self::RelativeMahalanobis => ("relative-mahalanobis", "Relative Mahalanobis", "Ren et al., 2021", FEATURES_TRAINING),
            Self::MahalanobisPp => ("mahalanobis-pp", "Mahalanobis++", "Müller & Hein, ICML 2025", FEATURES_TRAINING),
            Self::RelativeMahalanobisPp => ("relative-mahalanobis-pp", "Relative Mahalanobis++", "Müller & Hein, ICML 2025", FEATURES_TRAINING),
            Self::Gmm => ("gmm", "Gaussian a class (GDA)", "Mukhoti et al., CVPR 2023", FEATURES_TRAINING),
            Self::Knn => ("knn", "KNN", "Sun et al., ICML 2022", FEATURES_TRAINING),
            Self::NnGuide => ("nn-guide", "NNGuide", "Park et al., ICCV 2023", ALL),
            Self::She => ("she", "SHE", "Zhang et al., ICLR 2023", FEATURES_TRAINING),
            Self::WeiperKld => ("weiper-kld", "WeiPer+KLD", "Granz et al., NeurIPS 2024", ALL),
            Self::Vim => ("vim", "ViM", "Wang et al., CVPR 2022", ALL),
            Self::React => ("react", "ReAct", "Sun et al., NeurIPS 2021", ALL),
            Self::Ash => ("ash", "ASH-S", "Djurisic et al., ICLR 2023", FEATURES_HEAD),
            Self::Scale => ("scale", "SCALE", "Xu et al., ICLR 2024", FEATURES_HEAD),
            Self::Lts => ("lts", "LTS", "Djurisic et al., 2024", FEATURES_HEAD),
            Self::Vra => ("vra", "VRA-P", "Xu et al., NeurIPS 2023", ALL),
            Self::Dice => ("dice", "DICE", "Sun & Li, ECCV 2022", ALL),
            Self::AdaScaleA => ("adascale-a", "AdaSCALE-A", "Regmi, 2025", ALL),
            Self::AdaScaleL => ("adascale-l", "AdaSCALE-L", "Regmi, 2025", ALL),
            Self::ReactMap => ("react-map", "ReAct before pooling", "Sun et al., NeurIPS 2021", TRAINING_HEAD),
            Self::AshMap => ("ash-map", "ASH-S before pooling", "Djurisic et al., ICLR 2023", HEAD),
            Self::ScaleMap => ("scale-map", "SCALE before pooling", "Xu et al., ICLR 2024", HEAD),
            Self::RankFeat => ("rank-feat", "RankFeat (last map)", "Song et al., NeurIPS 2022", HEAD),
            Self::Mcm => ("mcm", "MCM", "Ming et al., NeurIPS 2022", FEATURES_HEAD),
            Self::Fdbd => ("fdbd", "fDBD", "Liu & Qin, ICML 2024", ALL),
            Self::Nci => ("nci", "NCI", "Liu & Qin, CVPR 2025", ALL),
            Self::GradNorm => ("grad-norm", "GradNorm", "Huang et al., NeurIPS 2021", FEATURES),
        };
        Facts { name, title, source, needs }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::UnknownMethod`] lists all names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::UnknownMethod,
                    format!(
                        "there is no score {name:?}; the scores are {}",
                        Self::ALL.map(Self::name).join(", ")
                    ),
                )
            })
    }
}
