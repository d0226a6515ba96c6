#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

/// Description of a network, from the model.json of an exported folder.
struct Manifest {
  std::filesystem::path model;       ///< File for ExecuTorch.
  int height;                        ///< Height of the input, in pixels.
  int width;                         ///< Width of the input, in pixels.
  std::array<float, 3> mean;         ///< Mean of red, green and blue, in 0..1.
  std::array<float, 3> deviation;    ///< Deviation of red, green and blue, in 0..1.
  std::vector<std::string> classes;  ///< Names; empty if model.json lacks them.
};

/// Read FOLDER/model.json; throws `Failure` if it does not describe an ExecuTorch classifier.
Manifest read_manifest(const std::filesystem::path& folder);
