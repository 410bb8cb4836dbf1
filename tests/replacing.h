// What tests/replacing.cc keeps count of.
#ifndef TESTS_REPLACING_H
#define TESTS_REPLACING_H

extern long live, taken;	// blocks of the replaced operators
extern bool starve;		// there is no memory

// Objects that come and go where the operators are, one by one and in an array.
void use_there();

#endif
