// The one translation unit that carries Boost.JSON's compiled part.
#include <boost/json/src.hpp>
