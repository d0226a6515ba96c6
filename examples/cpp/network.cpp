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
  // By default ExecuTorch looks at a file's head alone.
  require(module_.load(executorch::runtime::Program::Verification::InternalConsistency));
  require(module_.load_forward());
}

std::vector<float> Network::operator()(std::vector<float>& image) {
  const std::vector<int> sizes{1, 3, manifest_.height, manifest_.width};
  const auto outputs = module_.forward(executorch::extension::from_blob(image.data(), sizes));
  require(outputs.error());
  if (outputs->size() != 1 || !outputs->at(0).isTensor()) throw wrong("gives more than one tensor");
  const auto logits = outputs->at(0).toTensor();
  if (logits.scalar_type() != ScalarType::Float || logits.dim() != 2 || logits.numel() == 0) {
    throw wrong("no classifier: its output must be float32 (1, classes)");
  }
  const float* first = logits.const_data_ptr<float>();
  std::vector<float> found(first, first + logits.numel());
  if (!std::all_of(found.begin(), found.end(), [](float value) { return std::isfinite(value); })) {
    throw wrong("gives numbers that are not finite");
  }
  const std::size_t count = manifest_.classes.size();
  if (count != 0 && count != found.size()) {
    throw wrong("gives " + std::to_string(found.size()) + " numbers for " + std::to_string(count) +
                " classes");
  }
  return found;
}

void Network::require(Error error) const {
  if (error == Error::Ok) return;
  throw wrong("ExecuTorch refuses it: " +
              (complaint().empty() ? executorch::runtime::to_string(error) : complaint()));
}

Failure Network::wrong(const std::string& reason) const {
  return Failure(manifest_.model.string() + ": " + reason);
}
