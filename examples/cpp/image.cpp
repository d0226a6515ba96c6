#include "image.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <fstream>

#include "failure.h"

namespace {

constexpr int kColours = 3;
constexpr int kLargestSide = 1 << 16;

/// Read a number of a PPM's header, or -1; skip spaces and comments (from # to the end of the line).
int read_number(std::istream& stream) {
  while (std::isspace(stream.peek()) || stream.peek() == '#') {
    if (stream.get() == '#') {
      while (stream && stream.get() != '\n') {
      }
    }
  }
  int number = 0;
  return std::isdigit(stream.peek()) && stream >> number ? number : -1;
}

/// Cut out the largest box in the middle whose sides have the ratio of `height` to `width`.
Image crop(const Image& image, int height, int width) {
  // Both sides of image.width / image.height = width / height, multiplied out.
  const std::int64_t target = std::int64_t{image.height} * width;
  const std::int64_t actual = std::int64_t{image.width} * height;
  Image box{image.height, image.width, {}};
  if (actual > target) box.width = std::max(1, static_cast<int>(target / height));
  if (actual < target) box.height = std::max(1, static_cast<int>(actual / width));
  const int top = (image.height - box.height) / 2;
  const int left = (image.width - box.width) / 2;
  for (int y = 0; y < box.height; ++y) {
    const auto row = image.bytes.begin() + (std::int64_t{top + y} * image.width + left) * kColours;
    box.bytes.insert(box.bytes.end(), row, row + box.width * kColours);
  }
  return box;
}

/// Weights of the input pixels, from `first` on, that are added up to one output pixel.
struct Mix {
  int first;
  std::vector<float> weights;
};

/// Compute bilinear weights with antialiasing, as Pillow and torchvision do: a triangle around the output
/// pixel's centre, as wide as two pixels of the input or of the output, whichever are larger.
Mix mix(int pixel, int from, int to) {
  const double scale = static_cast<double>(from) / to;
  const double reach = std::max(scale, 1.0);
  const double middle = (pixel + 0.5) * scale;
  const int first = std::max(0, static_cast<int>(middle - reach + 0.5));
  const int end = std::min(from, static_cast<int>(middle + reach + 0.5));
  std::vector<double> triangle;
  double sum = 0;
  for (int i = first; i < end; ++i) {
    triangle.push_back(std::max(0.0, 1 - std::abs(i + 0.5 - middle) / reach));
    sum += triangle.back();
  }
  Mix result{first, {}};
  for (const double weight : triangle) result.weights.push_back(static_cast<float>(weight / sum));
  return result;
}

/// Resize the middle dimension: (outer, from, inner) to (outer, to, inner).
template <typename T>
std::vector<float> resize(const std::vector<T>& values, int from, int to, std::size_t inner) {
  const std::size_t outer = values.size() / (from * inner);
  std::vector<float> resized(outer * to * inner);
  for (int pixel = 0; pixel < to; ++pixel) {
    const Mix mixed = mix(pixel, from, to);
    for (std::size_t row = 0; row < outer; ++row) {
      const T* in = values.data() + (row * from + mixed.first) * inner;
      float* out = resized.data() + (row * to + pixel) * inner;
      for (const float weight : mixed.weights) {
        for (std::size_t i = 0; i < inner; ++i) out[i] += weight * in[i];
        in += inner;
      }
    }
  }
  return resized;
}

}  // namespace

Image read_ppm(const std::filesystem::path& file) {
  const std::string name = file.string();
  std::ifstream stream(file, std::ios::binary);
  if (!stream || !std::filesystem::is_regular_file(file)) throw Failure("cannot read " + name);
  if (stream.get() != 'P' || stream.get() != '6') throw Failure(name + ": is not a binary PPM (P6)");
  Image image{0, 0, {}};
  image.width = read_number(stream);
  image.height = read_number(stream);
  const int largest = read_number(stream);
  if (std::min(image.width, image.height) < 1 || std::max(image.width, image.height) > kLargestSide) {
    throw Failure(name + ": its sides must be 1 to " + std::to_string(kLargestSide) + " pixels");
  }
  if (largest != 255) throw Failure(name + ": must have 8 bits per colour");
  stream.get();  // one space ends the header
  const std::size_t size = std::size_t{kColours} * image.height * image.width;
  const std::size_t left = stream ? std::filesystem::file_size(file) - std::size_t(stream.tellg()) : 0;
  if (left < size) {  // checked before the memory is allocated
    throw Failure(name + ": is cut off: has " + std::to_string(left) + " of " + std::to_string(size) +
                  " bytes");
  }
  image.bytes.resize(size);
  if (!stream.read(reinterpret_cast<char*>(image.bytes.data()), size)) throw Failure("cannot read " + name);
  return image;
}

std::vector<float> prepare(const Image& image, const Manifest& manifest) {
  const Image box = crop(image, manifest.height, manifest.width);
  const auto rows = resize(box.bytes, box.width, manifest.width, kColours);
  const auto pixels = resize(rows, box.height, manifest.height, std::size_t(manifest.width) * kColours);
  const std::size_t plane = pixels.size() / kColours;
  std::vector<float> planes(pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::size_t colour = i % kColours;
    planes[colour * plane + i / kColours] =
        (pixels[i] / 255 - manifest.mean[colour]) / manifest.deviation[colour];
  }
  return planes;
}
