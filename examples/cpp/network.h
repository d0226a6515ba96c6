#pragma once

#include <executorch/extension/module/module.h>

#include <string>
#include <vector>

#include "failure.h"
#include "manifest.h"

/// Exported classifier in ExecuTorch.
class Network {
 public:
  /// Load the manifest's file; throws `Failure` if ExecuTorch rejects it.
  explicit Network(const Manifest& manifest);

  /// Compute the logits of an image (3, height, width), which stays as it is; throws `Failure`.
  std::vector<float> operator()(std::vector<float>& image);

 private:
  void check(executorch::runtime::Error error) const;
  Failure wrong(const std::string& reason) const;

  Manifest manifest_;
  executorch::extension::Module module_;
};
