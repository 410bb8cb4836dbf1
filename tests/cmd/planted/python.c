/* A module of Python for cmd-planted.sh: tally.words(text) counts words, and forgets to free its copy. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static __attribute__((noinline)) char *copy_text(const char *text, Py_ssize_t size)
{
	char *volatile copy = malloc((size_t)size + 1);

	if (copy)
		memcpy(copy, text, (size_t)size + 1);
	return copy;
}

static PyObject *words(PyObject *self, PyObject *arguments)
{
	const char *text;
	char *copy, *word, *rest;
	Py_ssize_t size;
	long count = 0;

	(void)self;
	if (!PyArg_ParseTuple(arguments, "s#", &text, &size))
		return NULL;
	copy = copy_text(text, size);
	if (!copy)
		return PyErr_NoMemory();
	for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		count++;
	return PyLong_FromLong(count);
}

static PyMethodDef methods[] = { { "words", words, METH_VARARGS, NULL }, { NULL, NULL, 0, NULL } };
static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "tally", .m_size = -1, .m_methods = methods };

PyMODINIT_FUNC PyInit_tally(void);
PyMODINIT_FUNC PyInit_tally(void)
{
	return PyModule_Create(&module);
}
