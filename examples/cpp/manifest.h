#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

/// What an exported folder's model.json says of its network.
struct Manifest {
  std::filesystem::path model;       ///< ExecuTorch's file.
  int height;                        ///< Of the images that it takes.
  int width;                         ///< Of the images that it takes.
  std::array<float, 3> mean;         ///< Of red, green and blue, in 0..1.
  std::array<float, 3> deviation;    ///< Of red, green and blue, in 0..1.
  std::vector<std::string> classes;  ///< Empty if their names are not known.
};

/// Read FOLDER/model.json; throws `Failure` if it is not one of an ExecuTorch classifier.
Manifest read_manifest(const std::filesystem::path& folder);
