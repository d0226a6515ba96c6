#pragma once

#include <filesystem>
#include <vector>

#include "manifest.h"

/// Image of bytes (height, width, 3), RGB.
struct Image {
  int height;
  int width;
  std::vector<unsigned char> bytes;
};

/// Read a binary PPM (P6) of 8 bits per colour; throws `Failure`.
Image read_ppm(const std::filesystem::path& file);

/// Convert an image to the network's input (3, height, width): crop the largest box in the middle that has
/// the shape of the input, resize and normalise it. An image of the network's size is only normalised.
std::vector<float> prepare(const Image& image, const Manifest& manifest);
