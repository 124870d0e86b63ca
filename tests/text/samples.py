"""Texts of our own in Bark's 13 languages, with what makes splitting hard: abbreviations, numbers, quotations, sounds, lyrics, long sentences."""

from __future__ import annotations

TEXTS = {
    "en": """It was late when Dr. Moore came home from St. Anne's at 11 p.m. and found the lamp still burning. Well... nobody had
closed the window, [sighs]
and the rain, which had begun in the afternoon and had not stopped for a moment since then, ran over the floor, under
the old table and down the stairs into the hall.
"Who is there?" he called. "It is only me," said a voice, e.g. the kind of voice that one hears on a bad line. It cost
him $1,234.50 to mend the floor, i.e. more than he had!

♪ The river runs, the river sings. The river takes what morning brings. ♪ He hummed it twice [laughs] and went to bed.
Was it No. 5 or No. 6 that had lost
its roof? He did not know; he slept until half past nine (it was a Sunday), and then the telephone rang 3 times.""",
    "de": """Im 19. Jahrhundert lebte in diesem Haus ein Arzt, Dr. Weber, der z. B. jeden Morgen um 5 Uhr aufstand und bis zum Abend
arbeitete. Am 3. Mai 1871 kam er nicht zurück.
Seine Nachbarn, die ihn seit vielen Jahren kannten und ihm vertrauten, suchten ihn im Wald, am Fluss, auf den Feldern
und schließlich sogar in der Stadt, aber niemand hatte ihn gesehen.
»Wo ist er?«, fragte die Frau. „Wir wissen es nicht“, sagte der Wirt. Nun ja... das Haus kostete 12.500,75 Mark, d. h.
fast nichts!

♪ Der Wind, der weht, das Rad, das dreht. ♪ Später zog bzw. floh eine Familie hierher. [lacht] War es Nr. 5 oder Nr. 6?
Das steht auf S. 12 ff. im Buch, das in der
Hauptstr. 7 liegt; man kann es dort lesen.""",
    "es": """El Sr. García llegó a las 5 p. m. con la Dra. López, que había vivido muchos años en EE. UU. y que ahora quería volver a
su pueblo para siempre. ¿Quién los esperaba? ¡Nadie!
La calle, que antes estaba llena de niños, de vendedores y de perros que dormían al sol, parecía tan vacía y tan triste
que los dos se quedaron un rato en silencio delante de la puerta.
—¿Entramos? —preguntó ella. —Entremos —dijo él. Pues... la casa costó 1.234,50 euros, es decir, casi nada.

♪ Canta el río, canta el mar, canta el viento al despertar. ♪ [risas] Véase la pág. 12 del vol. 3: allí está la Av. de
Mayo, núm. 5, con su patio y su fuente;
todo lo demás se perdió.""",
    "fr": """M. Dupont est arrivé à 17 h 30 avec Mme Durand, qui avait passé vingt ans à l'étranger et qui ne reconnaissait plus ni
les rues ni les visages de son enfance. Qui les attendait ? Personne !
La maison, dont les volets étaient fermés depuis le départ de la dernière locataire, sentait la poussière, le bois
mouillé et les pommes que l'on gardait autrefois dans le grenier.
« Entrons », dit-elle. « Pas encore », répondit-il. Eh bien... elle avait coûté 1 234 567,50 francs, c.-à-d. une
fortune.

♪ Coule la rivière, chante la lumière. ♪ [rires] Voir p. 12 et fig. 3 : le Dr. Martin y habita, au n° 5, dès l'an 50 av.
J.-C. selon la légende ;
on n'en sait pas plus.""",
    "hi": """डॉ. शर्मा कल शाम को देर से घर आए। दीया अब भी जल रहा था! खिड़की किसी ने बंद नहीं
की थी, और बारिश, जो दोपहर में शुरू हुई थी और तब से एक पल के लिए भी नहीं रुकी थी,
फर्श पर, पुरानी मेज़ के नीचे और सीढ़ियों से होती हुई आँगन तक बह रही थी।
"कौन है?" उन्होंने पूछा। "मैं हूँ," एक आवाज़ ने कहा। फर्श ठीक कराने में
12,34,567 रुपये लगे, यानी ३.५ गुना ज़्यादा।

♪ नदी चले, नदी गाए, सुबह का गीत सुनाए। ♪ [हँसी] क्या वह घर नं. 5 था या नं. 6?
उन्हें पता नहीं था; वे सो गए, और सुबह नौ बजे तक सोते रहे।""",
    "it": """Il Sig. Rossi è arrivato alle 17.30 con la Dott.ssa Bianchi, che aveva vissuto molti anni all'estero e che adesso voleva
tornare per sempre nel suo paese. Chi li aspettava? Nessuno!
La strada, che un tempo era piena di bambini, di venditori e di cani che dormivano al sole, sembrava così vuota e così
triste che i due rimasero per un po' in silenzio davanti alla porta.
«Entriamo?» chiese lei. «Entriamo», disse lui. Beh... la casa era costata 1.234,50 euro, cioè quasi niente.

♪ Canta il fiume, canta il mare, canta il vento sul altare. ♪ [ride] Vedi pag. 12 e fig. 3: mele, pere, ecc. crescevano
nel cortile del n. 5, già nel 50 a.C. secondo la leggenda;
il resto è perduto.""",
    "ja": """田中先生が家に帰ったのは夜遅くのことだった。ランプはまだついていた。窓は開いたままで、午後に降り始めてから一度もやまなかった雨が、
床の上を流れ、古い机の下を通り、階段を伝って玄関まで流れ込んでいたのである。「誰かいますか。返事をしてください。
」と彼は呼んだ。「私です」と声がした。えっと…床の修理には3.5万円かかった！高いですね？

♪ 川は流れる、川は歌う、朝の光を運んでくる。 ♪ [笑い] 家は5番だったか、それとも6番だったか、彼は覚えていなかった。
コンピューターの記録によれば、その夜に電話が三回鳴ったそうだが、彼は九時半まで眠っていたので何も聞こえなかったという。""",
    "ko": """김 박사가 집에 돌아온 것은 늦은 밤이었다. 등불은 아직 켜져 있었다! 아무도 창문을 닫지 않았고, 오후에 시작되어 그 뒤로 한 번도 그치지
않은 비가 마루 위로, 낡은 책상 밑으로, 그리고 계단을 따라 현관까지 흘러내리고 있었다.
"거기 누구세요?" 그가 불렀다. "저예요."라고 목소리가 말했다. 음... 마루를 고치는 데 1,234,500원이 들었다, 즉 3.5배나 더
들었다.

♪ 강물은 흐르고 강물은 노래하고 아침을 데려오네. ♪ [웃음] 집이 5번이었는지 6번이었는지 그는 기억하지 못했다; 그는 일요일 아침 아홉 시
반까지 잤고, 2020. 5. 3. 그날 전화가 세 번 울렸다.""",
    "pl": """W XIX w. mieszkał w tym domu dr. Nowak, który np. każdego ranka wstawał o 5.00 i pracował aż do wieczora. Dnia 3. maja
1871 r. nie wrócił do domu!
Sąsiedzi, którzy znali go od wielu lat i ufali mu bez reszty, szukali go w lesie, nad rzeką, na polach, a w końcu nawet
w mieście, ale nikt go nie widział i nikt o nim nie słyszał.
— Gdzie on jest? — zapytała kobieta. — Nie wiemy — odparł gospodarz. No cóż... dom kosztował 12 500,75 zł, tzn. prawie
nic.

♪ Płynie rzeka, śpiewa las, niesie rzeka dawny czas. ♪ [śmiech] Czy to był nr 5, czy nr 6 przy ul. Długiej? Jabłka,
gruszki itd. rosły w ogrodzie;
reszta przepadła.""",
    "pt": """O Sr. João mora na Av. Paulista, n.º 5, com a Dra. Ana, que viveu muitos anos no estrangeiro e que agora queria voltar
para sempre à sua terra. Quem os esperava? Ninguém!
A rua, que antes estava cheia de crianças, de vendedores e de cães que dormiam ao sol, parecia tão vazia e tão triste
que os dois ficaram um momento em silêncio diante da porta.
— Entramos? — perguntou ela. — Entramos — disse ele. Bem... a casa custou 1.234,50 reais, ou seja, quase nada.

♪ Canta o rio, canta o mar, canta o vento ao acordar. ♪ [risos] Veja a pág. 12 e a fig. 3: maçãs, peras, etc. cresciam
no pátio da R. Augusta, já em 50 a.C. segundo a lenda;
o resto perdeu-se.""",
    "ru": """В 19 в. в этом доме жил доктор Вебер, т. е. тот самый врач, который каждое утро вставал в 5 часов и работал до позднего
вечера. 3 мая 1871 г. он не вернулся домой!
Соседи, которые знали его много лет и во всём ему доверяли, искали его в лесу, у реки, на полях и наконец даже в городе,
но никто его не видел и ничего о нём не слышал.
— Где он? — спросила женщина. — Мы не знаем, — ответил хозяин. Ну... дом стоил 12 500,75 руб., почти ничего.

♪ Течёт река, поёт река, уносит вдаль издалека. ♪ [смех] Был ли это д. 5 или д. 6 на ул. Ленина? Яблоки, груши и т. д.
росли в саду; А. С. Белов написал об этом книгу.""",
    "tr": """19. yüzyılda bu evde Dr. Yılmaz yaşardı; her sabah saat 5'te kalkar, elma, armut vb. şeyler alır ve akşama kadar
çalışırdı. 3 Mayıs 1871'de eve dönmedi!
Onu uzun yıllardır tanıyan ve ona çok güvenen komşuları onu ormanda, nehir kıyısında, tarlalarda ve sonunda şehirde bile
aradılar, ama kimse onu görmemişti ve kimse ondan haber almamıştı.
"Nerede o?" diye sordu kadın. "Bilmiyoruz," dedi hancı. Şey... ev 12.500,75 liraya mal olmuştu, yani neredeyse
bedavaydı.

♪ Akar nehir, söyler nehir, sabahları getirir. ♪ [gülüşmeler] Atatürk Cad. No. 5 miydi, yoksa No. 6 mıydı? 2. Dünya
Savaşı her şeyi değiştirdi;
gerisi unutuldu.""",
    "zh": """田医生回到家的时候已经很晚了。灯还亮着。没有人关窗户，从下午就开始下、之后一刻也没有停过的雨水流过地板，流过旧桌子底下，
又沿着楼梯一直流到了门口的大厅里面。“谁在那儿？请回答。”他喊道。“是我，”一个声音说。嗯……修地板花了3.5万元，
也就是说，比他有的钱还多！贵不贵？

♪ 河水流，河水唱，河水带来早晨的光。 ♪ [笑声] 那房子是5号还是6号？他不记得了；他一直睡到九点半，那天是星期天，
电话响了三次，可是他什么也没有听见，因为《红楼梦》还盖在他的脸上。""",
}
"""A text of two paragraphs for each language."""
