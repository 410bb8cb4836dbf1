const { Worker, isMainThread, parentPort } = require("worker_threads");
if (isMainThread) {
	let left = 6, sum = 0;
	for (let i = 0; i < 6; i++)
		new Worker(__filename).on("message", m => { sum += m; }).on("exit", code => {
			if (code) process.exit(1);
			if (--left === 0) console.log(sum);
		});
} else {
	const a = [];
	for (let i = 0; i < 200000; i++) a.push({ i, s: "x" + i });
	parentPort.postMessage(JSON.parse(JSON.stringify(a)).length);
}
