#include "network.h"

#include <executorch/extension/tensor/tensor_ptr_maker.h>
#include <executorch/runtime/platform/platform.h>

#include <cctype>
#include <cmath>
#include <cstdio>
#include <string>

namespace {

using executorch::aten::ScalarType;
using executorch::runtime::Error;

/// The first thing that ExecuTorch complained of.
std::string& complaint() {
  static std::string text;
  return text;
}

/// Takes ExecuTorch's log, so that an error is told in our sentence and not beside it.
void listen(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t, const char* message,
            size_t length) {
  if (level == kFatal) std::fprintf(stderr, "error: %.*s\n", static_cast<int>(length), message);
  if (level == kError && complaint().empty()) {
    complaint().assign(message, length);
    for (char& letter : complaint()) {  // some quote a broken file
      if (!std::isprint(static_cast<unsigned char>(letter))) letter = '?';
    }
  }
}

}  // namespace

Network::Network(const Manifest& manifest) : manifest_(manifest), module_(manifest.model.string()) {
  if (!std::filesystem::is_regular_file(manifest.model)) {
    throw Failure("cannot read " + manifest.model.string());
  }
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(listen, __FILE__));
  // Of the whole file: the least that ExecuTorch can check is its first bytes.
  require(module_.load(executorch::runtime::Program::Verification::InternalConsistency));
  require(module_.load_forward());
}

std::vector<float> Network::operator()(std::vector<float>& image) {
  const auto input =
      executorch::extension::from_blob(image.data(), {1, 3, manifest_.height, manifest_.width});
  const auto outputs = module_.forward(input);
  require(outputs.error());
  if (outputs->size() != 1 || !outputs->at(0).isTensor() ||
      outputs->at(0).toTensor().scalar_type() != ScalarType::Float) {
    throw Failure(manifest_.model.string() + ": not a classifier, which gives one tensor of float32");
  }
  const auto logits = outputs->at(0).toTensor();
  const float* first = logits.const_data_ptr<float>();
  std::vector<float> found(first, first + logits.numel());
  if (!manifest_.classes.empty() && found.size() != manifest_.classes.size()) {
    throw Failure(manifest_.model.string() + ": gives " + std::to_string(found.size()) + " numbers, and there are " +
                  std::to_string(manifest_.classes.size()) + " classes");
  }
  for (const float value : found) {
    if (!std::isfinite(value)) throw Failure(manifest_.model.string() + ": gives numbers that are not finite");
  }
  return found;
}

void Network::require(Error error) const {
  if (error == Error::Ok) return;
  const std::string reason = complaint().empty() ? executorch::runtime::to_string(error) : complaint();
  throw Failure(manifest_.model.string() + ": ExecuTorch refuses it: " + reason);
}
