// All of Asio that is no template, once.
#include <asio/impl/src.hpp>
