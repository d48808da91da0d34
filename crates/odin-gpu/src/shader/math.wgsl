// Elementary functions, with the reductions and the polynomials of the CPU engine: those that a
// device brings may be off by thousands of units in the last place.

fn infinity() -> f32 { return bitcast<f32>(params[0u] * 0u + 0x7f800000u); }
fn not_a_number() -> f32 { return bitcast<f32>(params[0u] * 0u + 0x7fc00000u); }

// By its bits: drivers may assume that a comparison meets no NaN.
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// Whether v comes before best in descending order; NaN counts as the largest.
fn odin_wins(v: f32, best: f32) -> bool { return !is_nan(best) && (is_nan(v) || v > best); }

fn odin_relu(x: f32) -> f32 { return select(x, 0.0f, x < 0.0f && !is_nan(x)); }

// The same number, of which a compiler knows nothing: some take (x + 1) - 1 for x, and add up the
// two parts of a constant that shall be subtracted one after the other.
fn odin_opaque(x: f32) -> f32 {
  // Capacities are below 2^31.
  return bitcast<f32>(bitcast<u32>(x) ^ (run.capacity & 0x80000000u));
}

// 2^n for integers n from -126 to 127.
fn odin_pow2(n: f32) -> f32 { return bitcast<f32>(u32(i32(n) + 127) << 23u); }

fn odin_exp(argument: f32) -> f32 {
  let x = clamp(argument, -104.0f, 89.0f);
  let n = round(x * 1.442695041f);
  var r = odin_opaque(fma(n, -0.6933594f, x));
  r = fma(n, 2.1219444e-4f, r);
  var q = 0.0013951719f;
  q = fma(q, r, 0.008369598f);
  q = fma(q, r, 0.041666187f);
  q = fma(q, r, 0.16666513f);
  q = fma(q, r, 0.5f);
  let power = fma(r * r, q, r) + 1.0f;
  let half = round(n * 0.5f);
  return select(power * odin_pow2(half) * odin_pow2(n - half), argument, is_nan(argument));
}

// ln(x) of a normal or subnormal x > 0 as a sum of two parts, the second small beside the first.
fn odin_log_parts(x: f32) -> vec2<f32> {
  let is_small = x < 1.17549435e-38f;
  let bits = bitcast<u32>(select(x, x * 8388608.0f, is_small));
  // The mantissa from sqrt(1/2) to sqrt(2), and the exponent.
  let shifted = bits + 0x3f800000u - 0x3f3504f3u;
  let n = f32(i32(shifted >> 23u) - 127) - select(0.0f, 23.0f, is_small);
  let f = bitcast<f32>((shifted & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  var p = 0.06915416f;
  p = fma(p, f, -0.11789821f);
  p = fma(p, f, 0.11872961f);
  p = fma(p, f, -0.123843454f);
  p = fma(p, f, 0.1421866f);
  p = fma(p, f, -0.16669251f);
  p = fma(p, f, 0.20002227f);
  p = fma(p, f, -0.24999987f);
  p = fma(p, f, 0.3333331f);
  let square = f * f;
  var low = fma(square * f, p, n * -2.1219444e-4f);
  low = odin_opaque(fma(square, -0.5f, low));
  // The larger part has few digits, so that this product is exact; and so is the sum with its error.
  let power = odin_opaque(n * 0.6933594f);
  let sum = odin_opaque(power + f);
  let back = odin_opaque(sum - power);
  let error = odin_opaque(f - back) + odin_opaque(power - odin_opaque(sum - back));
  let rest = error + low;
  let high = odin_opaque(sum + rest);
  return vec2<f32>(high, odin_opaque(sum - high) + rest);
}

fn odin_log(x: f32) -> f32 {
  var y = odin_log_parts(x).x;
  y = select(y, x, bitcast<u32>(x) == 0x7f800000u);
  y = select(y, not_a_number(), x < 0.0f || is_nan(x));
  return select(y, -infinity(), x == 0.0f);
}

fn odin_log_1p(x: f32) -> f32 {
  let u = odin_opaque(x + 1.0f);
  let lost = x - odin_opaque(u - 1.0f);
  return odin_log(u) + lost / u;
}

fn odin_sigmoid(x: f32) -> f32 {
  let e = odin_exp(-abs(x));
  return select(select(e, 1.0f, x >= 0.0f) / (1.0f + e), x, is_nan(x));
}

fn odin_softplus(x: f32) -> f32 {
  return odin_relu(x) + odin_log_1p(odin_exp(-abs(x)));
}

fn odin_tanh(x: f32) -> f32 {
  let size = abs(x);
  let large = 1.0f - 2.0f / (odin_exp(size + size) + 1.0f);
  let square = x * x;
  var p = 0.002147539f;
  p = fma(p, square, -0.008182677f);
  p = fma(p, square, 0.021702968f);
  p = fma(p, square, -0.053947205f);
  p = fma(p, square, 0.1333321f);
  p = fma(p, square, -0.3333333f);
  let small = fma(size * square, p, size);
  let y = select(large, small, size < 0.625f);
  return select(select(y, -y, x < 0.0f), x, is_nan(x));
}

fn odin_erf(x: f32) -> f32 {
  let size = abs(x);
  let square = x * x;
  var p = 8.538841e-5f;
  p = fma(p, square, -8.181927e-4f);
  p = fma(p, square, 0.005204436f);
  p = fma(p, square, -0.026860753f);
  p = fma(p, square, 0.1128372f);
  p = fma(p, square, -0.37612635f);
  p = fma(p, square, 0.12837917f);
  let small = fma(size, p, size);
  let t = select(size, 4.0f, size > 4.0f);
  var q = -2.0909476e-5f;
  q = fma(q, t, 4.3230214e-4f);
  q = fma(q, t, -0.004160523f);
  q = fma(q, t, 0.025091487f);
  q = fma(q, t, -0.1082366f);
  q = fma(q, t, -0.6333867f);
  q = fma(q, t, -1.1294952f);
  q = fma(q, t, 1.7055095e-4f);
  let large = 1.0f - odin_exp(q);
  let y = select(large, small, size < 0.9f);
  return select(select(y, -y, x < 0.0f), x, is_nan(x));
}

// The sine of r + quadrant · π/2, for |r| <= π/4.
fn odin_sin_of(r: f32, quadrant: i32) -> f32 {
  let square = r * r;
  var s = 2.7183114e-6f;
  s = fma(s, square, -1.9839334e-4f);
  s = fma(s, square, 8.3333293e-3f);
  s = fma(s, square, -0.16666667f);
  s = fma(s * square, r, r);
  var c = 2.4433157e-5f;
  c = fma(c, square, -1.3887316e-3f);
  c = fma(c, square, 4.1666646e-2f);
  c = fma(c * square, square, fma(square, -0.5f, 1.0f));
  let y = select(s, c, (quadrant & 1) == 1);
  return select(y, -y, (quadrant & 2) == 2);
}

// π/2 as a sum of three parts, for arguments of up to some ten thousands.
fn odin_quadrant(x: f32) -> vec2<f32> {
  let n = round(x * 0.636619772f);
  var r = odin_opaque(fma(n, -1.5703125f, x));
  r = odin_opaque(fma(n, -4.8375129699707031e-4f, r));
  r = fma(n, -7.5497899548918866e-8f, r);
  return vec2<f32>(r, n);
}

fn odin_sin(x: f32) -> f32 {
  let q = odin_quadrant(x);
  return odin_sin_of(q.x, i32(q.y));
}

fn odin_cos(x: f32) -> f32 {
  let q = odin_quadrant(x);
  return odin_sin_of(q.x, i32(q.y) + 1);
}

fn odin_max(a: f32, b: f32) -> f32 {
  let larger = select(b, a, a >= b);
  return select(select(larger, a, is_nan(a)), b, is_nan(b));
}

fn odin_min(a: f32, b: f32) -> f32 {
  let smaller = select(b, a, a <= b);
  return select(select(smaller, a, is_nan(a)), b, is_nan(b));
}

// e^(b ln a) for a > 0, whose exponent is computed to more digits than a number has.
fn odin_exp_of_product(b: f32, a: f32) -> f32 {
  let log = odin_log_parts(a);
  let product = odin_opaque(b * log.x);
  // The error of the product, from halves of its factors.
  let b_high = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
  let log_high = bitcast<f32>(bitcast<u32>(log.x) & 0xfffff000u);
  let b_low = odin_opaque(b - b_high);
  let log_low = odin_opaque(log.x - log_high);
  var error = odin_opaque(odin_opaque(b_high * log_high) - product);
  error = odin_opaque(error + b_high * log_low);
  error = odin_opaque(error + b_low * log_high);
  error = error + b_low * log_low + b * log.y;
  let plain = odin_exp(b * odin_log(a));
  let power = odin_exp(product);
  // Where the product is no number or too large, only its sign matters.
  return select(plain, fma(power, error, power), abs(product) < 80.0f && a > 0.0f);
}

// |a|^b as the nearest of products where b is a small integer, as it mostly is.
fn odin_pow(a: f32, b: f32) -> f32 {
  let whole = round(b);
  let is_whole = b == whole;
  if (is_whole && abs(b) <= 64.0f) {
    var power = 1.0f;
    var factor = a;
    var n = u32(abs(b));
    while (n != 0u) {
      if ((n & 1u) == 1u) { power *= factor; }
      factor *= factor;
      n = n >> 1u;
    }
    return select(power, 1.0f / power, b < 0.0f);
  }
  let size = odin_exp_of_product(b, abs(a));
  let is_odd = is_whole && (fract(abs(b) * 0.5f) != 0.0f);
  if (a < 0.0f) {
    return select(not_a_number(), select(size, -size, is_odd), is_whole);
  }
  return size;
}
