#pragma once

#include <executorch/extension/module/module.h>

#include <string>
#include <vector>

#include "failure.h"
#include "manifest.h"

/// An exported classifier in ExecuTorch.
class Network {
 public:
  /// Load the manifest's file; throws `Failure` if ExecuTorch refuses it.
  explicit Network(const Manifest& manifest);

  /// Logits of an image (3, height, width), which is only read; throws `Failure`.
  std::vector<float> operator()(std::vector<float>& image);

 private:
  void require(executorch::runtime::Error error) const;
  Failure wrong(const std::string& reason) const;

  Manifest manifest_;
  executorch::extension::Module module_;
};
