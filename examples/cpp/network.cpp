#include "network.h"

#include <executorch/extension/tensor/tensor_ptr_maker.h>
#include <executorch/runtime/platform/platform.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

namespace {

using executorch::aten::ScalarType;
using executorch::runtime::Error;

/// First error of ExecuTorch's log.
std::string& first_error() {
  static std::string text;
  return text;
}

/// Receive ExecuTorch's log, so that an error becomes part of our message.
void listen(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t, const char* message,
            size_t length) {
  if (level == kFatal) std::fprintf(stderr, "error: %.*s\n", static_cast<int>(length), message);
  if (level == kError && first_error().empty()) {
    first_error().assign(message, length);
    for (char& letter : first_error()) {  // some messages quote bytes of a broken file
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
  // By default ExecuTorch checks only a file's header.
  check(module_.load(executorch::runtime::Program::Verification::InternalConsistency));
  check(module_.load_forward());
}

std::vector<float> Network::operator()(std::vector<float>& image) {
  const std::vector<int> sizes{1, 3, manifest_.height, manifest_.width};
  const auto outputs = module_.forward(executorch::extension::from_blob(image.data(), sizes));
  check(outputs.error());
  if (outputs->size() != 1 || !outputs->at(0).isTensor()) throw wrong("gives more than one tensor");
  const auto logits = outputs->at(0).toTensor();
  if (logits.scalar_type() != ScalarType::Float || logits.dim() != 2 || logits.numel() == 0) {
    throw wrong("is not a classifier; its output must be float32 (1, classes)");
  }
  const float* first = logits.const_data_ptr<float>();
  std::vector<float> values(first, first + logits.numel());
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    throw wrong("gives numbers that are not finite");
  }
  const std::size_t count = manifest_.classes.size();
  if (count != 0 && count != values.size()) {
    throw wrong("gives " + std::to_string(values.size()) + " numbers for " + std::to_string(count) +
                " classes");
  }
  return values;
}

void Network::check(Error error) const {
  if (error == Error::Ok) return;
  throw wrong("ExecuTorch rejects it: " +
              (first_error().empty() ? executorch::runtime::to_string(error) : first_error()));
}

Failure Network::wrong(const std::string& reason) const {
  return Failure(manifest_.model.string() + ": " + reason);
}
