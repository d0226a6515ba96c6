#pragma once

#include <filesystem>
#include <vector>

#include "manifest.h"

/// Bytes (height, width, 3), RGB.
struct Image {
  int height;
  int width;
  std::vector<unsigned char> bytes;
};

/// Read a binary PPM (P6) of at most 255 a colour; throws `Failure`.
Image read_ppm(const std::filesystem::path& file);

/// What the network takes, (3, height, width): the largest box in the image's middle that has the network's
/// shape, resized and normalised. An image of the network's size is only normalised.
std::vector<float> prepare(const Image& image, const Manifest& manifest);
